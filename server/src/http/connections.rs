//! Connections: who may have one, and for how long without saying anything.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// So many clients are served at once; more wait. Below what systems allow a process to have open by default.
const MOST_CONNECTIONS: usize = 900;
/// A client that sleeps or has gone without a word must not keep its place. Longer than a client's pause between two
/// calls of a program that is starting, shorter than anybody's patience.
const IDLE_AT_MOST: Duration = Duration::from_secs(60);
/// After a failure to accept, most likely for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` is over, then answers what is in flight.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut protocol = http1::Builder::new();
    // Also ends a kept connection on which nothing more comes.
    protocol.timer(TokioTimer::new()).header_read_timeout(IDLE_AT_MOST);
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (stream, place) = tokio::select! {
            (accepted, place) = accepted => match accepted {
                Ok((stream, _)) => (stream, place),
                Err(_) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        // A reply of several segments must not wait for the acknowledgement of the first.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(protocol.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // An error is the client's: it has gone, or sent what is not HTTP.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}
