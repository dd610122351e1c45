//! What the body of a request holds. Phones and scripts state it by a content type, which is not
//! always the right one.

use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request};

use crate::provider::grandstream;
use crate::wire::envelope::BodyForm;

/// The content of a body, as its content type states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Json,
    Form,
    /// Parameters in one of the two forms.
    Text,
    Ignored,
}

impl Content {
    pub(super) fn of<Body>(request: &Request<Body>) -> Content {
        if request.method() != Method::POST {
            return Content::Ignored;
        }

        let content_type = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("");
        let media_type = content_type.split(';').next().unwrap_or("").trim();
        match media_type.to_ascii_lowercase().as_str() {
            "application/json" => Content::Json,
            "application/x-www-form-urlencoded" => Content::Form,
            "text/plain" | "" => Content::Text,
            _ => Content::Ignored,
        }
    }

    /// The form of the parameters in a body.
    pub(super) fn form(self, body: &str) -> BodyForm {
        match self {
            Content::Json => BodyForm::Json,
            Content::Text if grandstream::looks_like_json(body) => BodyForm::Json,
            Content::Form | Content::Text => BodyForm::Form,
            Content::Ignored => BodyForm::None,
        }
    }
}
