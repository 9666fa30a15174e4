//! Commands: input, outputs and ends, byte for byte.

use rmachine_ssh::{Budget, Exit, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{login::connect, sshd::Sshd};

#[tokio::test]
async fn exit_codes_and_signals_come_through() {
    let sshd = Sshd::start();
    let session = connect(&sshd).await;
    for code in [0, 1, 42, 255] {
        assert_eq!(session.run(&format!("exit {code}"), b"").await.unwrap().exit, Exit::Code(code));
    }
    for signal in ["TERM", "KILL"] {
        let output = session.run(&format!("kill -{signal} $$"), b"").await.unwrap();
        assert_eq!(output.exit, Exit::Signal(signal.to_owned()));
    }
    assert_eq!(session.run("no-such-command-here", b"").await.unwrap().exit, Exit::Code(127));
}

#[tokio::test]
async fn the_two_outputs_stay_apart() {
    let sshd = Sshd::start();
    let output = connect(&sshd).await.run("echo out; echo err >&2; printf end", b"").await.unwrap();
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\nend"[..], &b"err\n"[..]));
}

#[tokio::test]
async fn ten_megabytes_come_back_as_they_went() {
    let sshd = Sshd::start();
    let mut bytes = vec![0_u8; 10 * 1024 * 1024];
    // Every byte value, in no short period: xorshift (Marsaglia, 2003).
    let mut state = 0x2545_f491_u32;
    for byte in &mut bytes {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        *byte = state.to_be_bytes()[0];
    }
    let session = connect(&sshd).await;
    let budget = Budget { bytes: 2 * bytes.len(), ..session.budgets().look };
    let output = session.run_within(budget, "cat", &bytes).await.unwrap();
    assert!(output.exit.is_success());
    assert!(output.stdout == bytes, "{} of {} bytes came back", output.stdout.len(), bytes.len());
    assert_eq!(output.stderr, b"");
}

#[tokio::test]
async fn the_end_of_input_reaches_the_command() {
    let sshd = Sshd::start();
    let output = connect(&sshd).await.run("wc -c", b"12345").await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "5");
}

#[tokio::test]
async fn a_command_that_does_not_read_its_input_ends_all_the_same() {
    let sshd = Sshd::start();
    let session = connect(&sshd).await;
    let exit = session.pipe("exit 3", tokio::io::repeat(7), tokio::io::sink(), tokio::io::sink()).await.unwrap();
    assert_eq!(exit, Exit::Code(3), "endless input");
    // An input that is open and silent.
    let (silent, _keep) = tokio::io::duplex(64);
    let exit = session.pipe("exit 4", silent, tokio::io::sink(), tokio::io::sink()).await.unwrap();
    assert_eq!(exit, Exit::Code(4), "silent input");
    let mut some = Vec::new();
    let exit = session.pipe("head -c 5", tokio::io::repeat(b'x'), &mut some, tokio::io::sink()).await.unwrap();
    assert_eq!((exit, some.as_slice()), (Exit::Code(0), &b"xxxxx"[..]));
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_exit_code() {
    let sshd = Sshd::start();
    let session = connect(&sshd).await;
    // The parent of the command is the connection's own server process.
    let output = session.run("echo before; kill -9 $PPID; sleep 60", b"").await.unwrap();
    assert_eq!(output.exit, Exit::Lost);
    assert!(session.run("true", b"").await.is_err(), "the session is over");
}

#[tokio::test]
async fn many_commands_share_one_connection() {
    let sshd = Sshd::start();
    let session = connect(&sshd).await;
    let commands: Vec<String> = (0..9).map(|n| format!("echo {n}")).collect();
    let outputs = futures::future::join_all(commands.iter().map(|command| session.run(command, b""))).await;
    for (n, output) in outputs.into_iter().enumerate() {
        assert_eq!(output.unwrap().stdout, format!("{n}\n").as_bytes());
    }
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 1);
}

#[tokio::test]
async fn lines_arrive_whole_and_apart() {
    let sshd = Sshd::start();
    let mut lines = Vec::new();
    let mut take = |stream: Stream, line: &str| lines.push((stream, line.to_owned()));
    let command = "printf 'a\\nb'; sleep 0.1; printf 'c\\r\\n'; printf 'é\\nend'";
    let session = connect(&sshd).await;
    session.stream(session.budgets().look, command, b"", &mut take).await.unwrap();
    // What the user's own shell says when it starts is none of the command's.
    let of_command = lines.iter().filter(|(stream, _)| *stream == Stream::Stdout);
    let lines: Vec<&str> = of_command.map(|(_, line)| line.as_str()).collect();
    assert_eq!(lines, ["a", "bc", "é", "end"]);
}

#[tokio::test]
async fn a_tcp_connection_can_be_made_from_the_host() {
    let sshd = Sshd::start();
    let session = connect(&sshd).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let echo = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
    });
    let mut stream = session.forward("127.0.0.1", port).await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"ping");
    echo.await.unwrap();
}
