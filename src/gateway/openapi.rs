//! The description of the API as a document of version 3.1 of `OpenAPI`, made from the handlers and
//! their types when the listener starts.
//!
//! A handler describes its own answers. The answers of the layers in front of it are added here,
//! once for all: the check of the request (`guard`), the principal (`sign_in`), and the tags of
//! answers (`etag`). Every error is a problem document.

use axum::Extension;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{AdditionalProperties, AllOf, Object};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, Content, HeaderBuilder, Info, License, OpenApi, Ref, RefOr, ResponseBuilder,
    Schema, SecurityRequirement, Tag,
};
use utoipa::{PartialSchema, ToSchema};

use super::idempotency::{Key, UNREPEATABLE_PATHS};
use super::response::{PROBLEM, Problem, json_response};
use super::sign_in::SESSION_COOKIE;

const JSON: &str = "application/json";
const TAGS: [(&str, &str); 15] = [
    ("Calls", "The call log."),
    (
        "Missed calls",
        "The desk of callers who wait for a call back.",
    ),
    ("Directory", "Names of people and helplines."),
    ("Sites", "Goals and opening hours."),
    (
        "Contacts",
        "Names of outside numbers, and notes about callers.",
    ),
    (
        "Phones",
        "Sites, phones and extensions that have reported anything.",
    ),
    ("Live events", "Changes of calls as they happen."),
    ("Popups", "The calls of one agent."),
    ("Call states", "Calls of other programs."),
    (
        "Call events",
        "What happened in calls, of phones and of other programs.",
    ),
    ("Transfers", "Transfers of other programs."),
    ("Webhooks", "Receivers of events over HTTP."),
    ("Account", "The account of the request."),
    ("Administration", "Accounts, tokens and the audit log."),
    ("Description", "This description."),
];

/// The text of the description.
#[derive(Clone)]
pub(super) struct Document(Bytes);

impl Document {
    pub(super) fn new(description: &OpenApi) -> Document {
        // Maps with texts as keys always serialize.
        Document(description.to_json().unwrap_or_default().into())
    }
}

/// This description.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    operation_id = "get_description",
    tag = "Description",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)),
)]
pub(super) async fn served(Extension(Document(text)): Extension<Document>) -> Response {
    json_response(StatusCode::OK, text)
}

/// Joins the descriptions of routes that need a principal with those that check one themselves, or
/// need none.
pub(super) fn describe(identified: OpenApi, open: OpenApi) -> OpenApi {
    let mut description = identified;
    for operation in operations(&mut description) {
        require_principal(operation);
    }
    for (path, item) in &mut description.paths.paths {
        let changing = [
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        if !UNREPEATABLE_PATHS.contains(&path.as_str()) {
            changing.into_iter().flatten().for_each(add_key);
        }
    }
    description.merge(open);

    for item in description.paths.paths.values_mut() {
        let reading = item.get.as_mut().into_iter().map(|get| (get, true));
        let changing = [
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        let changing = changing.into_iter().flatten().map(|change| (change, false));
        for (operation, is_reading) in reading.chain(changing) {
            add_guard(operation, is_reading);
            if is_reading {
                add_tag_of_answer(operation);
            }
            set_problems(operation);
        }
    }

    description.info = info();
    description.tags = Some(TAGS.map(tag).into());
    let components = description.components.get_or_insert_default();
    add_components(components);

    description
}

fn info() -> Info {
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    let mut info = Info::new("Cordboard", env!("CARGO_PKG_VERSION"));
    info.license = Some(license);
    info.description = Some(
        "Calls of Grandstream phones: one record per call, live events, the missed-call desk and \
         the directory. Instants are RFC 3339 in UTC, durations are seconds. Later versions may \
         add fields to answers. While no account exists, no request needs a principal."
            .to_owned(),
    );

    info
}

fn tag((name, description): (&str, &str)) -> Tag {
    TagBuilder::new()
        .name(name)
        .description(Some(description))
        .build()
}

fn operations(description: &mut OpenApi) -> impl Iterator<Item = &mut Operation> {
    let items = description.paths.paths.values_mut();

    items.flat_map(|item: &mut PathItem| {
        [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ]
        .into_iter()
        .flatten()
    })
}

/// The answers of `sign_in`, and of the limit to sites.
fn require_principal(operation: &mut Operation) {
    let scheme = |name: &str| SecurityRequirement::new(name, Vec::<String>::new());
    operation.security = Some(vec![scheme("bearer"), scheme("session")]);

    let has_site = operation
        .parameters
        .iter()
        .flatten()
        .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == "site"));
    if has_site {
        add(
            operation,
            403,
            "`no_right`: the account does not see the site.",
        );
    }
    add(
        operation,
        401,
        "`not_signed_in`: the request has no valid session or token. `no_accounts`: the first \
         account is missing.",
    );
    add(
        operation,
        503,
        "`unavailable`: the database did not answer.",
    );
}

/// The key of a request that is carried out once, and the answers of `idempotency`.
fn add_key(operation: &mut Operation) {
    let key = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .description(Some(
            "A key of the client. The request is carried out once, however often it is sent with the \
             key within a day; its answer comes again, with `Idempotent-Replayed`.",
        ))
        .schema(Some(Key::schema()))
        .build();
    operation
        .parameters
        .get_or_insert_default()
        .push(key.into());

    for (status, reason) in [
        (400, "`bad_idempotency_key`: the key has another form."),
        (
            409,
            "`request_under_way`: the request with the key has no answer yet.",
        ),
        (
            422,
            "`key_of_another_request`: another request had the key.",
        ),
    ] {
        add(operation, status, reason);
    }
}

/// The answers of `guard`.
fn add_guard(operation: &mut Operation, is_reading: bool) {
    add(
        operation,
        400,
        "`bad_parameter`: a parameter is unknown or impossible.",
    );
    add(
        operation,
        421,
        "`unknown_host`: the name in `Host` is not served here.",
    );
    if !is_reading {
        add(
            operation,
            403,
            "`foreign_origin`: a page of another origin sent the request.",
        );
    }
    if operation.request_body.is_some() {
        for (status, reason) in [
            (408, "`bad_body`: the body did not arrive in time."),
            (413, "`bad_body`: the body is too large."),
            (503, "`busy`: many bodies are being read."),
        ] {
            add(operation, status, reason);
        }
    }
}

/// The tag of an answer in JSON, and the answer to a request that has it.
fn add_tag_of_answer(operation: &mut Operation) {
    let Some(RefOr::T(answer)) = operation.responses.responses.get_mut("200") else {
        return;
    };
    if !answer.content.contains_key(JSON) {
        return;
    }

    let tag = HeaderBuilder::new()
        .schema(Some(String::schema()))
        .description(Some("The tag of the answer."))
        .build();
    answer.headers.insert("ETag".to_owned(), tag.into());
    let known = ParameterBuilder::new()
        .name("If-None-Match")
        .parameter_in(ParameterIn::Header)
        .description(Some("Tags of known answers: 304 instead of one of them."))
        .schema(Some(String::schema()))
        .build();
    operation
        .parameters
        .get_or_insert_default()
        .push(known.into());
    add(operation, 304, "The answer is known.");
}

/// Describes an answer, or one more reason for it.
fn add(operation: &mut Operation, status: u16, reason: &str) {
    let responses = &mut operation.responses.responses;

    match responses.get_mut(&status.to_string()) {
        Some(RefOr::T(response)) if response.description.contains(reason) => {}
        Some(RefOr::T(response)) => {
            response.description = format!("{} {reason}", response.description);
        }
        _ => {
            let response = ResponseBuilder::new().description(reason).build();
            responses.insert(status.to_string(), response.into());
        }
    }
}

/// Every error is a problem document.
fn set_problems(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else {
            continue;
        };
        if status.starts_with(['4', '5']) {
            let schema = Ref::from_schema_name(Problem::name());
            let content = Content::new(Some(RefOr::from(schema)));
            response.content.insert(PROBLEM.to_owned(), content.into());
        }
    }
}

fn add_components(components: &mut Components) {
    components
        .schemas
        .insert(Problem::name().into_owned(), Problem::schema());
    for schema in components.schemas.values_mut() {
        require_fields(schema);
    }

    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of `cordboard token create`."))
        .build();
    let session = ApiKeyValue::with_description(SESSION_COOKIE, "The cookie of `sign_in`.");
    let ticket = ApiKeyValue::with_description("ticket", "The answer of `create_ticket`.");
    for (name, scheme) in [
        ("bearer", SecurityScheme::Http(bearer)),
        ("session", SecurityScheme::ApiKey(ApiKey::Cookie(session))),
        ("ticket", SecurityScheme::ApiKey(ApiKey::Query(ticket))),
    ] {
        components.add_security_scheme(name, scheme);
    }
}

/// Answers have all their fields, empty ones with `null`. Bodies of requests, which allow no other
/// fields, may leave some out.
fn require_fields(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) if !is_body(object) => {
            object.required = object.properties.keys().cloned().collect();
        }
        RefOr::T(Schema::AllOf(AllOf { items, .. })) => items.iter_mut().for_each(require_fields),
        _ => {}
    }
}

fn is_body(object: &Object) -> bool {
    let others = object.additional_properties.as_deref();

    matches!(others, Some(AdditionalProperties::FreeForm(false)))
}
