//! An engine with the right certificate that lies.

use std::{sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::{liar::FORGED, world::runtime};

/// How it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    Nothing,
    /// Bytes without end where TLS should begin.
    NoTls,
    /// TLS, and then nothing.
    Silence,
    /// A byte of the answer now and then.
    Drip,
    /// A body in chunks without end.
    EndlessBody,
    /// A body of a terabyte.
    LongBody,
    /// Header lines without end.
    EndlessHead,
    /// One header line without end.
    EndlessHeader,
    /// A version with escapes and lines that look like ours.
    Escapes,
    /// An error with these, a third of a megabyte long.
    LongError,
}

/// Serves an engine that lies, and answers its port.
pub fn up(lie: Lie, cert_pem: &str, key_pem: &str) -> u16 {
    let config = Arc::new(config(cert_pem, key_pem));
    runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(crate::liar::accept(listener, move |stream| serve(stream, lie, config.clone())));
        port
    })
}

fn config(cert_pem: &str, key_pem: &str) -> ServerConfig {
    let chain = CertificateDer::pem_slice_iter(cert_pem.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).unwrap();
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

async fn serve(mut stream: TcpStream, lie: Lie, config: Arc<ServerConfig>) {
    if lie == Lie::NoTls {
        return pour(&mut stream, &[b'x'; 4096], Duration::ZERO).await;
    }
    let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else { return };
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while matches!(stream.read_line(&mut line).await, Ok(read) if read > 0) {
        if line == "\r\n" && answer(&mut stream, lie).await.is_err() {
            return;
        }
        line.clear();
    }
}

async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), lie: Lie) -> std::io::Result<()> {
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    match lie {
        Lie::Nothing | Lie::NoTls => whole(stream, "200 OK", &version("28.5.2")).await?,
        Lie::Silence => std::future::pending().await,
        Lie::Drip => pour(stream, b"H", Duration::from_millis(200)).await,
        Lie::EndlessBody => {
            stream.write_all(&[&head[..], b"Transfer-Encoding: chunked\r\n\r\n"].concat()).await?;
            pour(stream, &[b"1000\r\n", &[b' '; 4096][..], b"\r\n"].concat(), Duration::ZERO).await;
        }
        Lie::LongBody => {
            stream.write_all(&[&head[..], b"Content-Length: 1000000000000\r\n\r\n"].concat()).await?;
            pour(stream, &[b' '; 4096], Duration::ZERO).await;
        }
        Lie::EndlessHead => {
            stream.write_all(head).await?;
            pour(stream, &b"X: y\r\n".repeat(700), Duration::ZERO).await;
        }
        Lie::EndlessHeader => {
            stream.write_all(&[&head[..], b"X: "].concat()).await?;
            pour(stream, &[b'y'; 4096], Duration::ZERO).await;
        }
        Lie::Escapes => whole(stream, "200 OK", &version(FORGED)).await?,
        Lie::LongError => {
            let body = serde_json::json!({ "message": FORGED.repeat(3000) }).to_string();
            whole(stream, "500 Internal Server Error", &body).await?;
        }
    }
    stream.flush().await
}

fn version(version: &str) -> String {
    serde_json::json!({ "Version": version, "ApiVersion": "1.51", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64" })
        .to_string()
}

async fn whole(stream: &mut (impl AsyncWrite + Unpin), status: &str, body: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).await
}

async fn pour(stream: &mut (impl AsyncWrite + Unpin), part: &[u8], pause: Duration) {
    while stream.write_all(part).await.is_ok() && stream.flush().await.is_ok() {
        tokio::time::sleep(pause).await;
    }
}
