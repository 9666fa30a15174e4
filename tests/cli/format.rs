//! `--format` of `ls` and `inspect`.

use crate::user::{User, snapshots};

/// What `arguments` print, all well and nothing said.
#[track_caller]
fn stdout(user: &User, arguments: &[&str]) -> String {
    let answer = user.run(arguments);
    assert_eq!((answer.code, answer.stderr.as_str()), (0, ""), "{arguments:?}");
    answer.stdout
}

#[test]
fn ls_prints_by_a_template() {
    let user = User::with_machines();
    let ls = |format: &str| stdout(&user, &["ls", "--format", format]);
    assert_eq!(ls("{{.Name}}"), "one\ntwo\n");
    assert_eq!(ls(r"{{.Name}}\t{{.DriverName}}\n"), "one\tnone\n\ntwo\tnone\n\n");
    assert_eq!(
        ls("{{if .ActiveHost}}*{{else}}{{.Active}}{{end}}{{.State | upper | printf \"%-12s|\"}}"),
        "-UNREACHABLE |\n".repeat(2)
    );
    assert_eq!(
        ls("{{.URL}} [{{.Swarm}}] {{.ActiveSwarm}} {{.DockerVersion}}").lines().last(),
        Some("tcp://[::1]:2 [] false Unknown")
    );
    assert_eq!(ls("{{.EngineOptions.TlsVerify}} {{.SwarmOptions.Image}}"), "true swarm:latest\n".repeat(2));
    assert_eq!(ls("{{with .Error}}{{.}}{{end}}").lines().next(), Some("tcp://127.0.0.1:1 cannot be connected to"));
    let times = ls("{{.ResponseTime}}");
    assert!(times.lines().all(|time| time.ends_with('s') && time.starts_with(|c: char| c.is_ascii_digit())), "{times}");
    // As in docker-machine, -q counts more, and the flag may stand anywhere.
    assert_eq!(stdout(&user, &["ls", "-q", "-f", "{{.State}}"]), "one\ntwo\n");
    assert_eq!(stdout(&user, &["ls", "-f={{.Name}}", "--filter", "name=two"]), "two\n");
    assert_eq!(stdout(&User::new(), &["ls", "--format", "{{.Name}}"]), "");
}

#[test]
fn ls_prints_docker_machines_tables() {
    let user = User::with_machines();
    std::fs::write(user.store().join("machines/two/config.json"), "{").unwrap();
    let ls = |format: &str| user.run_in(&["ls", "--format", format], &[("DOCKER_HOST", "tcp://127.0.0.1:1")]).stdout;
    let fields = ls(
        "table {{.Name}}\\t{{.Active}}\\t{{.ActiveHost}}\\t{{.ActiveSwarm}}\\t{{.SwarmOptions}}\\t{{.DockerVersion}}",
    );
    let text = format!(
        "{}\n{}\n{fields}",
        // Its own table, whose lines end with the blanks of empty columns.
        ls("").replace(" \n", " $\n"),
        ls("table {{.Name}}\\t{{.DriverName}}: {{.URL}}"),
    );
    snapshots(|| insta::assert_snapshot!("ls_tables", text));
    assert_eq!(
        stdout(&User::new(), &["ls", "-f", ""]),
        "NAME   ACTIVE   DRIVER   STATE   URL   SWARM   DOCKER   ERRORS\n"
    );
    assert_eq!(stdout(&User::new(), &["ls", "-f", "table {{.ResponseTime}}"]), "RESPONSE\n");
}

#[test]
fn inspect_prints_by_a_template() {
    let user = User::new();
    let create =
        ["create", "-d", "none", "--url", "tcp://127.0.0.1:1", "--engine-label", "a=<1>", "--engine-label", "b=2", "m"];
    assert_eq!(user.run(&create).code, 0);
    let inspect = |format: &str| stdout(&user, &["inspect", "m", "-f", format]);
    assert_eq!(inspect("{{.Driver.MachineName}} {{.DriverName}} {{.Name}}"), "m none m\n");
    // Numbers are those of JSON, as in docker-machine.
    assert_eq!(
        inspect("{{.ConfigVersion}} {{printf \"%.0f %d\" .ConfigVersion .ConfigVersion}}"),
        "3 3 %!d(float64=3)\n"
    );
    assert_eq!(inspect("{{json .HostOptions.EngineOptions.Labels}}"), "[\"a=\\u003c1\\u003e\",\"b=2\"]\n");
    assert_eq!(inspect("{{range .HostOptions.EngineOptions.Labels}}{{.}};{{end}}"), "a=<1>;b=2;\n");
    assert_eq!(inspect("{{index .HostOptions.EngineOptions.Labels 1}}"), "b=2\n");
    assert_eq!(inspect("{{.HostOptions.EngineOptions.Dns}}"), "<no value>\n");
    assert_eq!(inspect("{{join (index .HostOptions.EngineOptions \"Labels\") \", \"}}"), "a=<1>, b=2\n");
    assert_eq!(inspect("{{if .Driver.InstanceId}}cloud{{else}}none{{end}}"), "none\n");
    assert!(inspect("{{json .Driver}}").starts_with("{\"IPAddress\":\"127.0.0.1\",\"MachineName\":\"m\","));
    assert!(
        inspect("{{prettyjson .HostOptions.EngineOptions}}")
            .starts_with("{\n    \"ArbitraryFlags\": [],\n    \"Dns\": null,\n")
    );
    assert_eq!(inspect(""), stdout(&user, &["inspect", "m"]), "an empty one is none");
}

#[test]
fn a_field_that_is_not_there_is_no_value_as_in_docker_machine() {
    let user = User::with_machines();
    let answer = user.run(&["inspect", "one", "--format", "{{.Driver.IPAdress}} {{.State}} {{.Driver.IPAdress}}"]);
    assert_eq!((answer.code, answer.stdout.as_str()), (0, "<no value> <no value> <no value>\n"));
    insta::assert_snapshot!(answer.stderr, @r"
    Warning: the record has no .Driver.IPAdress; did you mean .Driver.IPAddress?
    Warning: the record has no .State
    ");
}

/// GitLab Runner's executor asks so where the certificates are, with the flag behind the name.
#[test]
fn gitlab_runner_finds_the_certificates() {
    let user = User::with_machines();
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("docker-machine");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rmachine"), &link).unwrap();
    let mut command = assert_cmd::Command::new(&link);
    command.env_clear().env("HOME", directory.path()).env("MACHINE_STORAGE_PATH", user.store());
    command.args(["--bugsnag-api-token=no-report", "inspect", "one", "-f", "{{.HostOptions.AuthOptions.StorePath}}"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let path = std::path::Path::new(text.strip_suffix('\n').unwrap());
    assert_eq!(path, user.store().join("machines/one"));
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        assert!(path.join(file).is_file(), "{file} is in {}", path.display());
    }
}

#[test]
fn the_examples_of_the_documentation_work() {
    let user = User::new();
    let create = ["create", "-d", "none", "--url", "tcp://127.0.0.1:1", "--engine-label", "a=1", "m"];
    assert_eq!(user.run(&create).code, 0);
    let text = include_str!("../../docs/scripting.md");
    let section = text.split("\n## ").find(|section| section.starts_with("Templates\n")).unwrap();
    let examples: Vec<&str> = section.lines().filter(|line| line.starts_with("rmachine ")).collect();
    assert!(examples.len() > 5);
    for example in examples {
        let script = example.replacen("rmachine", env!("CARGO_BIN_EXE_rmachine"), 1);
        let mut shell = assert_cmd::Command::new("sh");
        let output = shell.env("MACHINE_STORAGE_PATH", user.store()).args(["-c", &script]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && said.is_empty(), "{example}: {said}");
        assert!(!output.stdout.is_empty() && !output.stdout.starts_with(b"<no value>"), "{example}");
    }
}

#[test]
fn wrong_templates() {
    let user = User::with_machines();
    let cases: [&[&str]; 14] = [
        &["ls", "--format", "{{.Nmae}}"],
        &["ls", "--format", "table {{.Foo}}"],
        &["ls", "--format", "{{.Name.First}}"],
        &["ls", "--format", "{{.Name"],
        &["ls", "--format", "{{.EngineOptions.Lables}}"],
        &["ls", "--format", "{{.Name}}", "--json"],
        &["ls", "--format"],
        &["inspect", "one", "--format", "{{jsno .Driver}}"],
        &["inspect", "one", "--format", "{{if .Driver}}"],
        &["inspect", "one", "--format", "a\n{{.Driver.IPAddress.First}}"],
        &["inspect", "one", "--format", "{{index .HostOptions.EngineOptions.Labels 7}}"],
        &["inspect", "one", "--format", "{{template \"\" .}}"],
        &["inspect", "one", "--format", "{{range 9999999}}x{{end}}"],
        &["inspect", "none-such", "--format", "{{.Name}}"],
    ];
    let text: Vec<String> = cases.iter().map(|arguments| user.refused(arguments)).collect();
    snapshots(|| insta::assert_snapshot!("wrong_templates", text.join("\n")));
}
