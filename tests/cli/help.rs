//! Every help text.

use crate::user::{User, snapshots};

const COMMANDS: [&str; 40] = [
    "active",
    "adopt",
    "allow",
    "audit",
    "compat",
    "completion",
    "config",
    "create",
    "doctor",
    "env",
    "export",
    "gc",
    "iam-policy",
    "import",
    "inspect",
    "ip",
    "kill",
    "ls",
    "man",
    "mount",
    "protect",
    "provision",
    "regenerate-certs",
    "rename",
    "restart",
    "rm",
    "rotate-ca",
    "rotate-keys",
    "scp",
    "share",
    "ssh",
    "ssh-config",
    "start",
    "status",
    "stop",
    "tunnel",
    "unshare",
    "upgrade",
    "url",
    "version",
];

#[test]
fn every_command_has_its_help() {
    let user = User::new();
    snapshots(|| {
        let top = user.run(&["--help"]);
        assert_eq!((top.code, top.stderr.as_str()), (0, ""));
        insta::assert_snapshot!("help", top.stdout);
        for command in COMMANDS {
            assert!(top.stdout.contains(&format!("\n  {command} ")), "{command} is in the list");
            let help = user.run(&[command, "--help"]);
            assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{command}");
            assert!(help.stdout.contains("Example"), "{command} shows an example");
            insta::assert_snapshot!(format!("help_{command}"), help.stdout);
        }
    });
    let listed = user.run(&["--help"]).stdout;
    let count = listed.lines().skip_while(|l| *l != "Commands:").skip(1).take_while(|l| !l.is_empty()).count();
    assert_eq!(count, COMMANDS.len() + 1, "every command of the list, and help, has its snapshot");
}

#[test]
fn create_shows_the_flags_of_the_chosen_driver_only() {
    let user = User::new();
    snapshots(|| {
        let drivers = [
            "generic",
            "none",
            #[cfg(feature = "docker")]
            "docker",
            #[cfg(feature = "qemu")]
            "qemu",
        ];
        for driver in drivers {
            let help = user.run(&["create", "--driver", driver, "--help"]);
            assert_eq!(help.code, 0);
            insta::assert_snapshot!(format!("help_create_{driver}"), help.stdout);
        }
    });
    let spellings: [&[&str]; 4] =
        [&["-d", "none", "-h"], &["-dnone", "--help"], &["--driver=none", "--help"], &["--help"]];
    for arguments in spellings {
        let variables = if arguments.len() == 1 { &[("MACHINE_DRIVER", "none")][..] } else { &[] };
        let help = user.run_in(&[&["create"], arguments].concat(), variables).stdout;
        assert!(help.contains("--url") && !help.contains("Port of sshd"), "{arguments:?}: {help}");
    }
}

#[test]
fn no_value_of_the_environment_is_shown() {
    let user = User::new();
    let variables =
        [("GENERIC_SSH_KEY", "s3cret"), ("ENGINE_REGISTRY_MIRROR", "https://u:s3cret@m"), ("MACHINE_DEBUG", "0")];
    let help = user.run_in(&["create", "-d", "generic", "--help"], &variables);
    assert!(!help.stdout.contains("s3cret"), "{}", help.stdout);
}

#[test]
fn without_a_command_the_help_comes_as_an_error() {
    let answer = User::new().run(&[]);
    assert_eq!((answer.code, answer.stdout.as_str()), (2, ""));
    assert!(answer.stderr.contains("Usage: rmachine"));
}

#[test]
fn version_names_the_program() {
    let user = User::new();
    let expected = format!("rmachine version {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(user.run(&["version"]).stdout, expected);
    assert_eq!(user.run(&["--version"]).stdout, format!("rmachine {}\n", env!("CARGO_PKG_VERSION")));
}
