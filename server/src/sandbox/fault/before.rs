//! The replies and connection failures that a client gets in place of the operation.

use floatlease::status::Status;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::{Before, OauthError};
use crate::http::{WireAction, response, token_endpoint};

/// Returns the reply in place of the operation, or the actions on its connection.
pub(crate) fn before(fault: &Before) -> Result<Response<Vec<u8>>, Vec<WireAction>> {
    Ok(match fault {
        Before::Code(code) | Before::UndocumentedCode(code) => {
            let row = Status::of_server_code(code).row();
            let status = match code.as_str() {
                "not_found" => 404,
                "order_id_exists" => 409,
                "internal_error" => 500,
                _ => 400,
            };
            let body = json!({ "status": status, "code": code, "message": row.message });
            of_status(status, response(body.to_string().into_bytes(), "application/json"))
        }
        Before::OauthError(OauthError::InvalidClient) => token_endpoint::refusal("invalid_client"),
        Before::OauthError(OauthError::UnauthorizedClient) => token_endpoint::refusal("unauthorized_client"),
        Before::Http(http) => {
            let page = format!("<html><body><h1>{}</h1></body></html>\n", http.status);
            let mut reply = of_status(http.status, response(page.into_bytes(), "text/html"));
            if let Some(seconds) = http.retry_after_s {
                reply.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            if http.status == 407 {
                let basic = HeaderValue::from_static("Basic realm=\"proxy\"");
                reply.headers_mut().insert(header::PROXY_AUTHENTICATE, basic);
            }
            reply
        }
        Before::HtmlPage => {
            response(b"<html><body>Please log in to the hotel's network.</body></html>\n".to_vec(), "text/html")
        }
        Before::Redirect(url) => {
            let mut reply = of_status(302, Response::new(Vec::new()));
            reply.headers_mut().extend(HeaderValue::try_from(url).ok().map(|url| (header::LOCATION, url)));
            reply
        }
        Before::Hang => return Err(vec![WireAction::Hold]),
        Before::Refuse => return Err(vec![WireAction::Reset]),
        // The world waits for the delay itself, and then carries the operation out.
        Before::Delay(_) => Response::new(Vec::new()),
    })
}

fn of_status(status: u16, mut reply: Response<Vec<u8>>) -> Response<Vec<u8>> {
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply
}
