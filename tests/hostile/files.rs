//! SFTP servers that lie.

use crate::{child::Patience, hosts::machine, liar::Lie, liar_sftp};

pub fn a_copy_ends() {
    let (world, liar) = machine();
    for (lie, word) in [
        (liar_sftp::Lie::NoVersion, "did not start its SFTP server"),
        (liar_sftp::Lie::Silence, "the connection broke"),
        (liar_sftp::Lie::EndlessListing, "a listing without end"),
        (liar_sftp::Lie::EmptyParts, "a listing without end"),
        (liar_sftp::Lie::Lengths, "the connection broke"),
        (liar_sftp::Lie::Escapes, "\\u{1b}]52;c;"),
    ] {
        liar.tells(Lie::Files(lie));
        let arguments = ["rmachine", "scp", "-r", "m:d", "here"];
        let patience = match lie {
            liar_sftp::Lie::EndlessListing | liar_sftp::Lie::EmptyParts => Patience::OfBytes,
            _ => Patience::Little,
        };
        let ran = world.run_with(patience, &arguments);
        println!("{lie:?}: scp: {:.1} s, {} MiB", ran.seconds, ran.mib);
        assert_ne!(ran.code, Some(0), "{lie:?}: {ran:?}");
        assert!(ran.stderr.contains(word), "{lie:?}: {}", ran.stderr);
        assert!(!ran.stderr.lines().any(|line| line.starts_with("Error: forged")), "{}", ran.stderr);
        assert!(ran.mib < 100, "{lie:?}: {} MiB", ran.mib);
    }
}
