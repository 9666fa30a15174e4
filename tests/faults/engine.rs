//! The engine's port of the fake host: mutual TLS with the files that came to it, and its version.

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio_rustls::TlsAcceptor;

use crate::host::SharedDisk;

const VERSION: &str = r#"{"Version":"28.5.2","ApiVersion":"1.51","MinAPIVersion":"1.24","Os":"linux","Arch":"amd64","KernelVersion":"6"}"#;

/// Serves a connection while the engine runs, and closes it when it does not.
pub async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, disk: SharedDisk) {
    let tls = {
        let disk = disk.lock().unwrap();
        disk.tls.clone().filter(|_| disk.engine_runs)
    };
    let Some(tls) = tls else { return };
    // A client whose certificate is not good, or that is killed, ends it early: the client's tests say which.
    let Ok(stream) = TlsAcceptor::from(Arc::new(config(&tls))).accept(stream).await else { return };
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while matches!(stream.read_line(&mut line).await, Ok(read) if read > 0) {
        if line == "\r\n" {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length";
            let answer = format!("{head}: {}\r\n\r\n{VERSION}", VERSION.len());
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            let _ = stream.flush().await;
        }
        line.clear();
    }
}

fn config([ca, cert, key]: &[String; 3]) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for trusted in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(trusted.unwrap()).unwrap();
    }
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let chain = CertificateDer::pem_slice_iter(cert.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .unwrap()
}
