//! The check in front of the API: every request has a principal, or gets 401.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::WWW_AUTHENTICATE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::access::Access;
use crate::gateway::response::{error_response, unavailable_response};

/// Puts the principal and its credential into the request.
pub(in crate::gateway) async fn identify(
    State(access): State<Arc<Access>>,
    mut request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let identified = access.identified(headers).await;

    match identified {
        Ok(Some((credential, principal))) => {
            request.extensions_mut().insert(credential);
            request.extensions_mut().insert(Arc::new(principal));
            next.run(request).await
        }
        Ok(None) => unauthorized(&access).await,
        Err(error) => unavailable_response(&error),
    }
}

async fn unauthorized(access: &Access) -> Response {
    let (code, detail) = if access.has_accounts().await.unwrap_or(true) {
        (
            "not_signed_in",
            "sign in, or send a token as `Authorization: Bearer`",
        )
    } else {
        (
            "no_accounts",
            "no account exists, and this listener is reached by other machines: make the first \
             account with `cordboard user add NAME --role admin`",
        )
    };

    let refused = error_response(StatusCode::UNAUTHORIZED, code, detail);
    ([(WWW_AUTHENTICATE, "Bearer")], refused).into_response()
}
