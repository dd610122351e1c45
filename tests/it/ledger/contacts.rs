//! Laws of contacts and of notes about callers.

use cordboard::domain::time::At;
use cordboard::port::contacts::{CANDIDATES_MAX, CallerNote, Contact, ContactPage, Contacts};

use super::Store;

const NUMBER: &str = "+493023125418";

fn contact(site: &str, number: &str, name: &str, company: &str) -> Contact {
    Contact {
        site: site.to_owned(),
        number: number.into(),
        name: name.into(),
        company: company.into(),
        url: "https://crm.example.com/7".into(),
    }
}

fn names(contacts: &[Contact]) -> Vec<&str> {
    contacts.iter().map(|contact| &*contact.name).collect()
}

pub async fn a_number_shows_its_contacts(store: &impl Store) {
    let ledger = store.open().await;
    let all = [
        contact("berlin", NUMBER, "Bea", "Vogel"),
        contact("berlin", NUMBER, "Ada", "Vogel"),
        contact("berlin", "+4940111", "Cem", ""),
        contact("lahore", NUMBER, "Dua", ""),
    ];
    ledger.put_contacts(&all, None).await.unwrap();
    ledger.put_contacts(&[], None).await.unwrap();

    let found = ledger.contacts_of("berlin", NUMBER).await.unwrap();
    assert_eq!(found, [all[1].clone(), all[0].clone()]);

    // The last one of a number and a name counts.
    let again = ["Falke", "Adler"].map(|company| contact("berlin", NUMBER, "Ada", company));
    ledger.put_contacts(&again, None).await.unwrap();
    let found = ledger.contacts_of("berlin", NUMBER).await.unwrap();
    assert_eq!(found, [again[1].clone(), all[0].clone()]);

    let wanted = [
        ("berlin", "+4940111"),
        ("lahore", NUMBER),
        ("lahore", "+4940111"),
    ];
    let wanted = wanted.map(|(site, number)| (site.to_owned(), number.to_owned()));
    let found = ledger.contacts_of_all(&wanted).await.unwrap();
    assert_eq!(names(&found), ["Cem", "Dua"]);
    assert_eq!(ledger.contacts_of_all(&[]).await.unwrap(), []);

    let exchange: Vec<Contact> = (0..20)
        .map(|person| contact("berlin", NUMBER, &format!("Person {person}"), ""))
        .collect();
    ledger.put_contacts(&exchange, None).await.unwrap();
    let found = ledger.contacts_of("berlin", NUMBER).await.unwrap();
    assert_eq!(found.len(), CANDIDATES_MAX);
}

pub async fn contacts_are_found_by_fragments_page_by_page(store: &impl Store) {
    let ledger = store.open().await;
    let all = [
        contact("berlin", "+49301", "Ada 100%", "Vogel AG"),
        contact("berlin", "+49302", "Bea 100x", "vogelhaus"),
        contact("lahore", "+92423", "Cem", "Falke"),
    ];
    ledger.put_contacts(&all, None).await.unwrap();
    let found = async |site: Option<&str>, text: &str, skipped: u32, limit: u32| {
        let page = ContactPage {
            site: site.map(ToOwned::to_owned),
            text: (!text.is_empty()).then(|| text.into()),
            skipped,
            limit,
        };
        let found = ledger.contacts(&page).await.unwrap();
        names(&found).join(", ")
    };

    assert_eq!(found(None, "", 0, 10).await, "Ada 100%, Bea 100x, Cem");
    assert_eq!(found(None, "", 1, 1).await, "Bea 100x");
    assert_eq!(found(Some("lahore"), "", 0, 10).await, "Cem");
    assert_eq!(found(None, "VOGEL", 0, 10).await, "Ada 100%, Bea 100x");
    assert_eq!(found(None, "100%", 0, 10).await, "Ada 100%");
    assert_eq!(found(None, "+4930", 0, 10).await, "Ada 100%, Bea 100x");
    assert_eq!(found(Some("lahore"), "ada", 0, 10).await, "");
}

pub async fn contacts_are_removed_by_number_name_and_file(store: &impl Store) {
    let ledger = store.open().await;
    let old = ["Ada", "Bea", "Cem"].map(|name| contact("berlin", NUMBER, name, ""));
    ledger.put_contacts(&old, None).await.unwrap();
    let elsewhere = [contact("lahore", NUMBER, "Dua", "")];
    ledger.put_contacts(&elsewhere, None).await.unwrap();

    let removed = ledger.remove_contacts("berlin", NUMBER, Some("Cem")).await;
    assert_eq!(removed.unwrap(), 1);
    let removed = ledger.remove_contacts("berlin", "+4940", None).await;
    assert_eq!(removed.unwrap(), 0);

    let removed = ledger.put_contacts(&old[..1], Some("berlin")).await;
    assert_eq!(removed.unwrap(), 1);
    let left = ledger.contacts_of("berlin", NUMBER).await.unwrap();
    assert_eq!(names(&left), ["Ada"]);

    let removed = ledger.remove_contacts("berlin", NUMBER, None).await;
    assert_eq!(removed.unwrap(), 1);
    let left = ledger.contacts_of("lahore", NUMBER).await.unwrap();
    assert_eq!(names(&left), ["Dua"]);
}

pub async fn a_caller_has_one_note(store: &impl Store) {
    let ledger = store.open().await;
    let note = |text: &str, at: i64| CallerNote {
        text: text.into(),
        written_by: "hina".to_owned(),
        written_at: At(at),
    };
    assert_eq!(ledger.note_of("berlin", NUMBER).await.unwrap(), None);

    for (text, at) in [("Asks for Ada.", 1), ("Prefers mornings.", 2)] {
        let written = note(text, at);
        let set = ledger.set_note("berlin", NUMBER, Some(&written)).await;
        set.unwrap();
        let found = ledger.note_of("berlin", NUMBER).await.unwrap();
        assert_eq!(found, Some(written));
    }
    assert_eq!(ledger.note_of("lahore", NUMBER).await.unwrap(), None);

    ledger.set_note("berlin", NUMBER, None).await.unwrap();
    assert_eq!(ledger.note_of("berlin", NUMBER).await.unwrap(), None);
}

pub async fn of_two_files_at_once_one_stays(store: &impl Store) {
    let (one, other) = (store.open().await, store.open().await);
    let file = |name: &str| {
        let contacts =
            (0..500).map(|number| contact("berlin", &format!("+4930{number}"), name, ""));
        contacts.collect::<Vec<Contact>>()
    };
    let (ada, bea) = (file("Ada"), file("Bea"));
    let (first, second) = tokio::join!(
        one.put_contacts(&ada, Some("berlin")),
        other.put_contacts(&bea, Some("berlin")),
    );
    let removed = first.unwrap() + second.unwrap();

    assert_eq!(removed, 500, "the later one removes the other");
    let page = ContactPage {
        limit: 2_000,
        ..ContactPage::default()
    };
    let left = one.contacts(&page).await.unwrap();
    assert_eq!(left.len(), 500);
    assert!(names(&left).windows(2).all(|pair| pair[0] == pair[1]));

    let removed = one.put_contacts(&[], Some("berlin")).await.unwrap();
    assert_eq!(removed, 500);
}
