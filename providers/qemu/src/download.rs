//! Images and their checksums by HTTP: over TLS with the system's roots, through the environment's proxies.

use std::{io::Write, path::Path, sync::Arc, time::Duration};

use reqwest::{Client, Response, StatusCode, Url, header};
use rmachine_provider_api::{Error, Kind, Notify, Result};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::{
    digest::{Digest, Hasher},
    files,
};

/// How long a server may take to take a connection, and to send the next bytes.
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(60);
/// How often a download that breaks off goes on where it was.
const ATTEMPTS: u32 = 5;
/// Largest file of checksums that is read.
const LARGEST_SUMS: usize = 4 << 20;
/// Room that has to be left beside an image.
const ROOM: u64 = 256 << 20;

/// Resolves the checksum of the image at `url`: as given, or from a file of sums.
///
/// # Errors
///
/// When it does not read, its file cannot be had, or that does not list the image.
pub(crate) async fn resolve_checksum(url: &str, checksum: &str) -> Result<Digest> {
    let image = parse("qemu-image", url)?;
    if !checksum.contains("://") {
        return Digest::parse(checksum);
    }
    let sums = parse("qemu-image-checksum", checksum)?;
    // Who can change the sums can change the image.
    if sums.scheme() != "https" && !is_loopback(&sums) {
        return Err(Error::invalid(format!("checksums by plain HTTP protect nothing: {sums}"))
            .hint("give an https URL, or the checksum itself: --qemu-image-checksum sha256:HEX"));
    }
    let name = image.path_segments().and_then(|mut s| s.next_back()).unwrap_or_default();
    let failed = |e: reqwest::Error| unreachable(&sums, &e);
    let mut response = accepted(client(sums.scheme() == "https")?.get(sums.clone()).send().await.map_err(failed)?)?;
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        text.extend_from_slice(&chunk);
        if text.len() > LARGEST_SUMS {
            return Err(Error::invalid(format!("{sums} is too large for a file of checksums")));
        }
    }
    Digest::find(&String::from_utf8_lossy(&text), name).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("{sums} has no SHA-256 or SHA-512 checksum of {name}"))
            .hint("name the file that lists the image, or the checksum itself: --qemu-image-checksum sha256:HEX")
    })
}

/// Downloads `url` to `to`, going on where it broke off, and checks it; nothing is left when this fails.
///
/// # Errors
///
/// Besides what the network does: a checksum that differs, with both.
pub(crate) async fn fetch(url: &str, digest: &Digest, to: &Path, notify: &dyn Notify) -> Result<()> {
    let url = parse("qemu-image", url)?;
    let mut download = Download { file: files::create(to)?, to, hasher: digest.hasher(), done: 0, notify };
    let mut attempt = 1;
    loop {
        match download.go_on(&url, digest).await {
            Ok(()) => break,
            Err(Broken::Off(error)) if attempt < ATTEMPTS => {
                notify.progress(&format!("downloading the image: {error}; going on"));
                tokio::time::sleep(Duration::from_secs(1) * attempt).await;
                attempt += 1;
            }
            Err(Broken::Off(error)) => return Err(unreachable(&url, &error)),
            Err(Broken::ForGood(error)) => return Err(error),
        }
    }
    let found = download.hasher.finish();
    if found == *digest {
        return Ok(());
    }
    Err(Error::new(Kind::Other, format!("the checksum of {url} differs"))
        .source(format!("expected {digest}, got {found}"))
        .hint(
            "the image was thrown away; look whether it has changed, and give its checksum with --qemu-image-checksum",
        ))
}

/// How a download ended.
enum Broken {
    /// It may go on where it was.
    Off(reqwest::Error),
    ForGood(Error),
}

struct Download<'a> {
    file: std::fs::File,
    to: &'a Path,
    hasher: Hasher,
    done: u64,
    notify: &'a dyn Notify,
}

impl Download<'_> {
    async fn go_on(&mut self, url: &Url, digest: &Digest) -> std::result::Result<(), Broken> {
        let client = client(false).map_err(Broken::ForGood)?;
        let mut request = client.get(url.clone());
        if self.done > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", self.done));
        }
        let mut response = accepted(request.send().await.map_err(Broken::Off)?).map_err(Broken::ForGood)?;
        if self.done > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
            // It sends all of it again.
            self.file = files::create(self.to).map_err(Broken::ForGood)?;
            (self.hasher, self.done) = (digest.hasher(), 0);
        }
        let total = response.content_length().map(|rest| rest + self.done);
        if let (Some(total), Some(directory)) = (total, self.to.parent()) {
            files::require_room(directory, total - self.done + ROOM.min(total)).map_err(Broken::ForGood)?;
        }
        let mut said = None;
        while let Some(chunk) = response.chunk().await.map_err(Broken::Off)? {
            self.file.write_all(&chunk).map_err(|e| Broken::ForGood(files::failed("write", self.to, e)))?;
            self.hasher.update(&chunk);
            self.done += chunk.len() as u64;
            let now = self.done / 1_000_000;
            if said != Some(now) {
                said = Some(now);
                let of = total.map(|total| format!(" of {}", total / 1_000_000)).unwrap_or_default();
                self.notify.progress(&format!("downloading the image: {now}{of} MB"));
            }
        }
        Ok(())
    }
}

/// A client with our TLS: ring, and the system's roots (`SSL_CERT_FILE` counts, on Linux).
fn client(https_only: bool) -> Result<Client> {
    let failed = |e: Box<dyn std::error::Error + Send + Sync>| Error::new(Kind::Other, "cannot set up TLS").source(e);
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| failed(e.into()))?
        .with_platform_verifier()
        .map_err(|e| failed(e.into()))?
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(https_only)
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .user_agent(concat!("rmachine/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| failed(e.into()))
}

fn parse(flag: &str, text: &str) -> Result<Url> {
    let url = Url::parse(text).map_err(|e| Error::invalid(format!("--{flag}: {text} is no URL")).source(e))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(Error::invalid(format!("--{flag} takes an https URL, not one of {other}"))),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str().map(|host| host.trim_matches(['[', ']'])) {
        Some("localhost") => true,
        Some(host) => host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

fn accepted(response: Response) -> Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let kind = match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Kind::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Kind::Denied,
        _ => Kind::Unreachable,
    };
    Err(Error::new(kind, format!("{} answers {status}", response.url()))
        .hint("open the URL in a browser; --qemu-image PATH takes an image that you have"))
}

fn unreachable(url: &Url, error: &reqwest::Error) -> Error {
    // The outermost text repeats the URL; what happened is the innermost one.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Error::new(Kind::Unreachable, format!("cannot download {url}"))
        .source(cause.to_string())
        .hint("HTTPS_PROXY names a proxy; --qemu-image PATH takes an image that you have")
}

#[cfg(test)]
mod tests {
    use rmachine_provider_api::Silent;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Answers each request with the next of `answers`, and tells what was asked.
    async fn serve(answers: Vec<Vec<u8>>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let n = stream.read(&mut request).await.unwrap();
                asked.push(String::from_utf8_lossy(&request[..n]).to_lowercase());
                stream.write_all(&answer).await.unwrap();
            }
            asked
        });
        (url, task)
    }

    fn answer(head: &str, body: &[u8]) -> Vec<u8> {
        [format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes(), body].concat()
    }

    fn digest_of(bytes: &[u8]) -> Digest {
        let mut hasher = Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap().hasher();
        hasher.update(bytes);
        hasher.finish()
    }

    #[tokio::test]
    async fn a_download_that_breaks_off_goes_on() {
        let base = tempfile::tempdir().unwrap();
        let to = base.path().join("part");
        let (url, served) = serve(vec![
            answer("200 OK\r\nContent-Length: 10", b"01234"),
            answer("206 Partial Content\r\nContent-Length: 5", b"567"),
            // A server that knows no ranges.
            answer("200 OK\r\nContent-Length: 10", b"0123456789"),
        ])
        .await;
        fetch(&format!("{url}/i.raw"), &digest_of(b"0123456789"), &to, &Silent).await.unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), b"0123456789");
        let asked = served.await.unwrap();
        assert!(!asked[0].contains("range:") && asked[1].contains("bytes=5-") && asked[2].contains("bytes=8-"));
    }

    #[tokio::test]
    async fn a_checksum_that_differs_is_told_with_both() {
        let base = tempfile::tempdir().unwrap();
        let (url, _served) = serve(vec![answer("200 OK\r\nContent-Length: 3", b"abd")]).await;
        let expected = digest_of(b"abc");
        let error = fetch(&format!("{url}/i"), &expected, &base.path().join("p"), &Silent).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.to_string().ends_with("differs"));
        assert_eq!(cause, format!("expected {expected}, got {}", digest_of(b"abd")));
    }

    #[tokio::test]
    async fn sums_are_looked_up_and_what_is_not_there_is_said() {
        let sums = format!("{}  other\n{}  i.raw\n", digest_of(b"x").hex, digest_of(b"abc").hex);
        let head = format!("200 OK\r\nContent-Length: {}", sums.len());
        let (url, _served) =
            serve(vec![answer(&head, sums.as_bytes()), answer(&head, sums.as_bytes()), answer("404 Not Found", b"")])
                .await;
        let checksum = format!("{url}/SHA256SUMS");
        let found = resolve_checksum("https://h/dir/i.raw", &checksum).await.unwrap();
        assert_eq!(found, digest_of(b"abc"));
        let error = resolve_checksum("https://h/none.raw", &checksum).await.unwrap_err();
        assert!(error.kind() == Kind::NotFound && error.to_string().contains("none.raw"));
        let error = resolve_checksum("https://h/i.raw", &checksum).await.unwrap_err();
        assert!(error.to_string().contains("404"), "{error}");
        let error = resolve_checksum("https://h/i.raw", "http://example.org/SHA256SUMS").await.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput);
        assert!(resolve_checksum("ftp://h/i", "sha256:00").await.is_err());
    }
}
