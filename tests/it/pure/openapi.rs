//! The description of the API: it has every route and every answer, and records have its form.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use cordboard::domain::reconstruct;
use cordboard::domain::time::At;
use cordboard::gateway::api_description;
use cordboard::wire::call_json::CallJson;
use cordboard::wire::policy_file::Policies;
use serde_json::{Value, json};

use crate::support::flow;
use crate::support::http::send;
use crate::support::overlay::{self, Spelling};
use crate::support::service::Service;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
/// Operations that need no principal, or check it themselves.
const OPEN: [&str; 4] = ["sign_in", "sign_out", "get_description", "open_socket"];

fn description() -> Value {
    serde_json::from_str(&api_description().to_json().unwrap()).unwrap()
}

/// Method and operation, with its path for messages.
fn operations(description: &Value) -> Vec<(String, String, &Value)> {
    let paths = description["paths"].as_object().unwrap();

    paths
        .iter()
        .flat_map(|(path, item)| {
            METHODS.iter().filter_map(move |method| {
                let operation = item.get(method)?;
                Some(((*method).to_owned(), format!("{method} {path}"), operation))
            })
        })
        .collect()
}

#[test]
fn the_description_has_its_form() {
    insta::with_settings!({
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!("openapi", api_description().to_pretty_json().unwrap());
    });
}

#[test]
fn every_operation_has_a_name_a_tag_and_its_answers() {
    let description = description();
    let tags: Vec<&Value> = description["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| &tag["name"])
        .collect();
    let operations = operations(&description);
    assert!(operations.len() > 45);
    let mut names = Vec::new();

    for (method, place, operation) in &operations {
        let name = operation["operationId"].as_str().unwrap();
        names.push(name);
        assert!(tags.contains(&&operation["tags"][0]), "{place}");
        assert!(operation["summary"].is_string(), "{place}");

        let responses = operation["responses"].as_object().unwrap();
        let has = |status: &str| responses.contains_key(status);
        assert!(has("400") && has("421"), "{place}");
        let parameters = operation["parameters"].as_array();
        let has_site =
            parameters.is_some_and(|list| list.iter().any(|parameter| parameter["name"] == "site"));
        let is_identified = operation.get("security").is_some();
        if OPEN.contains(&name) {
            assert!(!is_identified || name == "open_socket", "{place}");
        } else {
            assert!(is_identified && has("401") && has("503"), "{place}");
        }
        if method != "get" || has_site {
            assert!(has("403"), "{place}");
        }
        let has_json = operation["responses"]["200"]["content"]["application/json"].is_object();
        assert_eq!(has("304"), method == "get" && has_json, "{place}");
        for (status, response) in responses {
            let is_problem = response["content"]["application/problem+json"].is_object();
            assert_eq!(is_problem, status.as_str() >= "400", "{place} {status}");
            assert_ne!(response["description"], "", "{place} {status}");
        }
    }

    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), operations.len(), "names are unique");
}

/// Routes are added with their description: only the pages, their files and the operations listener
/// have none.
#[test]
fn no_route_is_added_without_its_description() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gateway");
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();

    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let routes = fs::read_to_string(&path)
                    .unwrap()
                    .matches(".route(")
                    .count();
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                files.extend((routes > 0).then_some((name, routes)));
            }
        }
    }
    files.sort();

    let expected = [("mod.rs", 2), ("operations.rs", 3)];
    assert_eq!(
        files,
        expected.map(|(name, routes)| (name.to_owned(), routes))
    );
}

/// The schema of an object that has the fields of several.
fn joined(description: &Value, parts: &[Value]) -> Value {
    let mut properties = serde_json::Map::new();
    for part in parts {
        let part = match part["$ref"].as_str() {
            Some(reference) => description.pointer(&reference[1..]).unwrap(),
            None => part,
        };
        properties.extend(part["properties"].as_object().unwrap().clone());
    }

    json!({ "type": "object", "properties": properties })
}

/// The first difference between a value and its schema.
fn difference(description: &Value, schema: &Value, value: &Value, place: &str) -> Option<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = description.pointer(&reference[1..]).unwrap();
        return difference(description, target, value, place);
    }
    if let Some(parts) = schema["allOf"].as_array() {
        return difference(description, &joined(description, parts), value, place);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let mut differences = choices
            .iter()
            .map(|choice| difference(description, choice, value, place));
        let fits = differences.any(|difference| difference.is_none());
        return (!fits).then(|| format!("{place}: {value} is none of {schema}"));
    }
    if let Some(names) = schema["enum"].as_array() {
        return (!names.contains(value)).then(|| format!("{place}: {value} is not in {schema}"));
    }

    let is_of = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        _ => value.is_object(),
    };
    let is_type = match &schema["type"] {
        Value::Array(names) => names.iter().any(|name| is_of(name.as_str().unwrap())),
        name => is_of(name.as_str().unwrap_or_else(|| panic!("{place}: {schema}"))),
    };
    if !is_type {
        return Some(format!("{place}: {value} is not of {schema}"));
    }

    match value {
        Value::Object(fields) => {
            let known = schema["properties"].as_object().unwrap();
            let keys: Vec<&String> = fields.keys().collect();
            if keys != known.keys().collect::<Vec<_>>() {
                return Some(format!("{place}: {keys:?} instead of {known:?}"));
            }
            fields.iter().find_map(|(name, field)| {
                difference(description, &known[name], field, &format!("{place}.{name}"))
            })
        }
        Value::Array(items) => items
            .iter()
            .find_map(|item| difference(description, &schema["items"], item, place)),
        _ => None,
    }
}

#[test]
fn the_records_of_all_flows_have_the_described_form() {
    let description = description();
    let schema = &description["components"]["schemas"]["Call"];
    let mut records = 0;

    for flow in flow::all() {
        let policies = Policies::parse(&flow.policy).unwrap();
        let events = flow::expand(&flow.events(), |_| 0);
        let facts = overlay::facts(&flow, &events, Spelling::default(), &policies);
        let policy = Arc::clone(policies.of(&overlay::site()));
        for record in reconstruct(overlay::site(), policy, &facts, At::END) {
            let value = serde_json::to_value(CallJson::of(&record)).unwrap();
            assert_eq!(difference(&description, schema, &value, &flow.name), None);
            records += 1;
        }
    }

    assert!(records > 50, "the rule must see records");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_admins_and_agents_have_the_described_form() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let description = description();
    let ask = async |method: &str, path: &str, target: &str, who: &str, body: Value| {
        let body = (!body.is_null()).then_some(body);
        let target = format!("/api/v1{target}");
        let answer = send(service.gateway, method, &target, who, body.as_ref()).await;
        let method = method.to_lowercase();
        let place = format!("{method} {path}");
        let operation = &description["paths"][format!("/api/v1{path}")][method];
        let responses = &operation["responses"][answer.status.to_string()];
        let schema = &responses["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{place}: {}", answer.body);
        assert_eq!(difference(&description, schema, &answer.body, &place), None);
        answer.body
    };

    let paused = json!({ "state": "paused", "reason": "lunch" });
    let target = "/me/state?extension=201";
    ask("PUT", "/me/state", target, "", paused).await;
    let root = json!({ "name": "root", "role": "admin" });
    let created = ask("POST", "/tokens", "/tokens", "", root).await;
    let token = created["token"].as_str().unwrap();
    let who = format!("Authorization: Bearer {token}\r\n");
    let katrin = json!({ "name": "katrin", "role": "agent", "sites": ["berlin"] });
    ask("POST", "/users", "/users", &who, katrin).await;
    let supervisor = json!({ "role": "supervisor", "display_name": "Katrin" });
    let target = "/users/katrin";
    ask("PATCH", "/users/{name}", target, &who, supervisor).await;
    let target = "/users/katrin/link";
    ask("POST", "/users/{name}/link", target, &who, Value::Null).await;

    // A receiver gets all numbers, which an admin has to ask for.
    let program = json!({ "name": "crm", "role": "integrator" });
    let created = ask("POST", "/tokens", "/tokens", &who, program).await;
    let token = created["token"].as_str().unwrap();
    let program = format!("Authorization: Bearer {token}\r\n");
    let hook = json!({ "url": "https://example.org/hook", "events": ["call.ended"] });
    let hook = ask("POST", "/webhooks", "/webhooks", &program, hook).await;
    let target = format!("/webhooks/{}", hook["id"].as_str().unwrap());
    let disabled = json!({ "enabled": false });
    ask("PATCH", "/webhooks/{id}", &target, &program, disabled).await;
    for (method, rest) in [("POST", "/secret"), ("GET", "/deliveries")] {
        let path = format!("/webhooks/{{id}}{rest}");
        let target = format!("{target}{rest}");
        ask(method, &path, &target, &program, Value::Null).await;
    }

    for list in ["/users", "/tokens", "/webhooks", "/audit"] {
        let answer = ask("GET", list, list, &who, Value::Null).await;
        let items = answer.as_object().unwrap().values().next().unwrap();
        assert_ne!(items, &json!([]), "{list}");
    }
    for (path, target, who) in [
        ("/webhooks/{id}", target.as_str(), &program),
        ("/users/{name}", "/users/katrin", &who),
        ("/tokens/{name}", "/tokens/root", &who),
    ] {
        ask("DELETE", path, target, who, Value::Null).await;
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_answer_is_not_sent_again() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let gateway = service.gateway;
    let get = async |target: &str, headers: &str| send(gateway, "GET", target, headers, None).await;
    let header = |head: &str, name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::to_owned)
    };

    let first = get("/api/v1/calls", "").await;
    assert_eq!(first.status, 200);
    let tag = header(&first.head, "etag: ").unwrap();
    assert_eq!(
        header(&first.head, "cache-control: ").as_deref(),
        Some("private, no-cache")
    );
    let vary = header(&first.head, "vary: ").unwrap();
    assert!(
        vary.contains("Authorization") && vary.contains("Cookie"),
        "{vary}"
    );

    let known = format!("If-None-Match: {tag}\r\n");
    let again = get("/api/v1/calls", &known).await;
    assert_eq!((again.status, &again.body), (304, &Value::Null));
    assert_eq!(header(&again.head, "etag: "), Some(tag.clone()));

    service
        .send("/gs/cti/incoming?mac=000b82000001&local=201&remote=1")
        .await
        .unwrap();
    service
        .eventually("a new answer", async |_| {
            let answer = get("/api/v1/calls", &known).await;
            match answer.status {
                200 => Ok(()),
                status => Err(status.to_string()),
            }
        })
        .await;

    // Exports, errors and other methods have no tag, and are not to be stored.
    for target in [
        "/api/v1/calls?format=csv",
        "/api/v1/calls?limit=0",
        "/api/v1/calls/none",
    ] {
        let answer = get(target, "If-None-Match: *\r\n").await;
        assert!(answer.status != 304, "{target}");
        assert_eq!(header(&answer.head, "etag: "), None, "{target}");
        assert_eq!(
            header(&answer.head, "cache-control: ").as_deref(),
            Some("no-store"),
            "{target}"
        );
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_description_is_served_and_every_error_is_a_problem() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let gateway = service.gateway;

    let served = send(gateway, "GET", "/api/v1/openapi.json", "", None).await;
    assert_eq!((served.status, &served.body), (200, &description()));

    for (method, target, status) in [
        ("GET", "/api/v1/none", 404),
        ("GET", "/none", 404),
        ("DELETE", "/api/v1/calls", 405),
        ("GET", "/api/v1/session", 405),
        ("POST", "/live", 405),
        ("GET", "/ws", 400),
        ("GET", "/api/v1/devices?site=%00", 400),
        ("GET", "/api/v1/calls?site=%01", 400),
        ("GET", "/api/v1/calls/%C2%87", 400),
    ] {
        let answer = send(gateway, method, target, "", None).await;
        assert_eq!(answer.status, status, "{method} {target}");
        assert_eq!(answer.body["status"], status, "{method} {target}");
        let is_problem = answer
            .head
            .contains("content-type: application/problem+json");
        assert!(is_problem, "{method} {target}: {}", answer.head);
    }
    service.stop().await;
}
