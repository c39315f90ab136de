//! Runs that export what they do.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use ureq::Agent;

use super::exposition::Exposition;
use crate::support::process;

/// How long a condition that must come may take on a machine that does much else.
pub const SOON: Duration = Duration::from_secs(60);

/// An address that was free a moment ago.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Status, type and text of a page.
pub fn page(address: SocketAddr, path: &str) -> Result<(u16, String, String), String> {
    let agent: Agent = Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .timeout_global(Some(SOON))
        .build()
        .new_agent();
    let mut response =
        agent.get(format!("http://{address}{path}")).call().map_err(|error| error.to_string())?;
    let kind = response
        .headers()
        .get("content-type")
        .map(|kind| kind.to_str().unwrap().to_owned())
        .unwrap_or_default();
    let text = response.body_mut().read_to_string().map_err(|error| error.to_string())?;
    Ok((response.status().as_u16(), kind, text))
}

/// What is served, as soon as it is.
#[track_caller]
pub fn scraped(address: SocketAddr) -> Exposition {
    let mut answer = Err(String::new());
    let answered = process::wait_until(SOON, || {
        answer = page(address, "/metrics");
        answer.is_ok()
    });
    assert!(answered, "{answer:?}");
    let (status, kind, text) = answer.unwrap();
    assert_eq!((status, kind.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
    Exposition::read(&text)
}

/// What is in the file.
#[track_caller]
pub fn written(path: &Path) -> Exposition {
    Exposition::read(&std::fs::read_to_string(path).expect("the run wrote its metrics"))
}
