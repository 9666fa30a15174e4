//! bollard over one rustls connection of our own.

use std::sync::{Arc, OnceLock};

use bollard::{ClientVersion, Docker};
use http::{Request, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rmachine_model::Endpoint;
use rustls::{
    ClientConfig, RootCertStore,
    client::WebPkiServerVerifier,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Mutex,
};
use tokio_rustls::TlsConnector;

use super::{
    Error, TlsFiles,
    bounded::{self, Bounded},
};

/// Newest API version that we ask for; negotiation lowers it to what the engine speaks.
const NEWEST: &ClientVersion = bollard::API_DEFAULT_VERSION;

/// Time-out of one API call in seconds; the callers' own are shorter.
const CALL_SECONDS: u64 = 120;

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())).clone()
}

fn config(tls: &TlsFiles<'_>) -> Result<ClientConfig, Error> {
    let unusable = |what: &str, e: &dyn std::fmt::Display| Error::Identity(format!("{what}: {e}"));
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(tls.ca_pem.as_bytes()) {
        let cert = cert.map_err(|e| unusable("the CA's certificate does not read", &e))?;
        roots.add(cert).map_err(|e| unusable("the CA's certificate is unusable", &e))?;
    }
    let chain = CertificateDer::pem_slice_iter(tls.cert_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| unusable("the client's certificate does not read", &e))?;
    let key = PrivateKeyDer::from_pem_slice(tls.key_pem.as_bytes())
        .map_err(|e| unusable("the client's key does not read", &e))?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|e| unusable("the CA's certificate is unusable", &e))?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| unusable("TLS cannot be set up", &e))?
        .with_webpki_verifier(verifier)
        .with_client_auth_cert(chain, key)
        .map_err(|e| unusable("the client's certificate is unusable", &e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Opens a TCP connection to `endpoint`.
pub(super) async fn dial(endpoint: &Endpoint) -> Result<TcpStream, Error> {
    let unreachable = |e| Error::Unreachable(endpoint.url(), e);
    let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    Ok(tcp)
}

/// Proves both sides over `stream`, and answers a bollard client over that connection.
pub(super) async fn connect<S>(stream: S, endpoint: &Endpoint, tls: &TlsFiles<'_>) -> Result<Docker, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = config(tls)?;
    let name = ServerName::try_from(endpoint.host.clone())
        .map_err(|e| Error::Identity(format!("{:?} is no host name: {e}", endpoint.host)))?;
    let stream =
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|e| Error::from_tls(endpoint, e))?;
    let (sender, connection) = http1::handshake(TokioIo::new(Bounded::new(stream, bounded::MOST)))
        .await
        .map_err(|e| Error::from_hyper(endpoint, e))?;
    // The request in flight gets the connection's error; there is nobody else to tell.
    tokio::spawn(async move { connection.await.unwrap_or_else(|e| tracing::debug!("engine connection ended: {e}")) });
    let sender = Arc::new(Mutex::new(sender));
    let host = endpoint.authority();
    let transport = move |request: bollard::BollardRequest| {
        let (sender, host) = (sender.clone(), host.clone());
        async move {
            let request = for_origin(request, &host)?;
            let mut sender = sender.lock().await;
            sender.ready().await?;
            Ok(sender.send_request(request).await?)
        }
    };
    Docker::connect_with_custom_transport(transport, Some(endpoint.url()), CALL_SECONDS, NEWEST)
        .map_err(|e| Error::from_bollard(endpoint, e))
}

/// Makes the request one for an origin server (RFC 9112, section 3.2.1), and `/version` one without
/// an API version: an engine refuses a newer version than its own even there.
fn for_origin(request: bollard::BollardRequest, host: &str) -> Result<bollard::BollardRequest, bollard::errors::Error> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
    let path = match path.rfind('/') {
        Some(at) if matches!(path.get(at..), Some("/version" | "/_ping")) => &path[at..],
        _ => path,
    };
    parts.uri = path.parse::<Uri>().map_err(http::Error::from)?;
    let value = host.parse().map_err(http::Error::from)?;
    parts.headers.insert(http::header::HOST, value);
    Ok(Request::from_parts(parts, body))
}
