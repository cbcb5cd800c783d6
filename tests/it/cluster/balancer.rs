//! A balancer that gives one request after the other to one node after the other, whatever they belong to: the
//! strictest there is for sessions of many requests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

/// The balancer. Dropping it ends it.
pub(crate) struct Balancer {
    addr: SocketAddr,
    inner: Arc<Inner>,
    accepting: tokio::task::JoinHandle<()>,
}

struct Inner {
    nodes: Mutex<Vec<SocketAddr>>,
    next: AtomicUsize,
    client: Client<HttpConnector, Body>,
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Balancer {
    /// In front of these nodes.
    pub(crate) async fn before(nodes: Vec<SocketAddr>) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        let inner = Inner { nodes: Mutex::new(nodes), next: AtomicUsize::new(0), client };
        let inner = Arc::new(inner);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&inner)));
        Self { addr, inner, accepting }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Only these nodes are good any more, as a health check finds.
    pub(crate) fn choose(&self, nodes: Vec<SocketAddr>) {
        *self.inner.nodes.lock().unwrap() = nodes;
    }
}

async fn accept(listener: TcpListener, inner: Arc<Inner>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        stream.set_nodelay(true).unwrap();
        let inner = Arc::clone(&inner);
        tokio::spawn(async move {
            let service =
                hyper::service::service_fn(move |request| pass(Arc::clone(&inner), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            let _ = connection.await;
        });
    }
}

async fn pass(
    inner: Arc<Inner>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let node = {
        let nodes = inner.nodes.lock().unwrap();
        nodes[inner.next.fetch_add(1, Ordering::SeqCst) % nodes.len()]
    };
    let target = request.uri().path_and_query().unwrap();
    let uri: Uri = format!("http://{node}{target}").parse().unwrap();
    let client = hyper::upgrade::on(&mut request);
    let (mut head, body) = request.into_parts();
    head.uri = uri;
    let request = Request::from_parts(head, Body::new(body));
    let Ok(mut answer) = inner.client.request(request).await else {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        return Ok(response);
    };
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let node = hyper::upgrade::on(&mut answer);
        tokio::spawn(async move {
            let (Ok(client), Ok(node)) = tokio::join!(client, node) else { return };
            let (mut client, mut node) = (TokioIo::new(client), TokioIo::new(node));
            let _ = tokio::io::copy_bidirectional(&mut client, &mut node).await;
        });
    }
    Ok(answer.map(Body::new))
}
