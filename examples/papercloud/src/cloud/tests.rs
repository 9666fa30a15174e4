use super::*;

fn wanted(attempt: u128) -> Machine {
    let owner = Owner::from_bits(1);
    Machine::new("m", &owner, &MachineToken::from_bits(attempt), &AttemptToken::from_bits(attempt))
}

fn cloud() -> (tempfile::TempDir, Cloud) {
    let root = tempfile::tempdir().unwrap();
    let cloud = Cloud::new(root.path().to_owned());
    (root, cloud)
}

#[test]
fn creates_of_one_attempt_at_once_make_one_instance() {
    let (root, cloud) = cloud();
    for attempt in 0..64 {
        let start = std::sync::Barrier::new(8);
        let call = || {
            start.wait();
            cloud.run(&wanted(attempt)).unwrap()
        };
        let made: Vec<Machine> = std::thread::scope(|scope| {
            let calls: Vec<_> = (0..8).map(|_| scope.spawn(call)).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        assert!(made.iter().all(|machine| machine.id() == made[0].id() && machine.created == made[0].created));
    }
    assert_eq!(cloud.list().unwrap().len(), 64);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 64, "no draft is left");
    // Nor is the attempt of another machine answered with this one.
    let other = Machine { token: MachineToken::from_bits(8), ..wanted(7) };
    assert!(matches!(cloud.run(&other), Err(Fault::Foreign(id)) if id == other.id()));
}

#[test]
fn files_of_others_are_named_and_touched_by_nothing() {
    let (root, cloud) = cloud();
    let good = serde_json::to_string(&cloud.run(&wanted(7)).unwrap()).unwrap();
    let id: InstanceId = "paper-x".parse().unwrap();
    let of_x = good.replace("00000000000000000000000000000007\",\"state", "x\",\"state");
    let hostile = [
        String::new(),
        "{".to_owned(),
        "[".repeat(4000),
        " ".repeat(5000),
        good,
        of_x.replace("127.9.", "192.0."),
        of_x.replace("running", "on fire"),
        of_x.replace("\"owner\":\"", "\"owner\":\"*"),
        of_x.replace("\"attempt\":\"x", "\"attempt\":\"../x"),
    ];
    for text in hostile {
        fs::write(root.path().join("paper-x.json"), &text).unwrap();
        for fault in [cloud.get(&id).unwrap_err(), cloud.list().unwrap_err()] {
            assert!(matches!(&fault, Fault::Garbled(path, _) if path.ends_with("paper-x.json")), "{text}: {fault:?}");
        }
        assert!(cloud.power(&id, Power::Stopped).is_err() && cloud.delete(&id, &wanted(7).token).is_err());
        assert_eq!(fs::read_to_string(root.path().join("paper-x.json")).unwrap(), text);
    }
    fs::write(root.path().join("paper-x.json"), of_x).unwrap();
    assert_eq!(cloud.list().unwrap().len(), 2, "what has the right form is read");
}

#[test]
fn no_id_leads_out_of_the_directory() {
    let (root, cloud) = cloud();
    let inner = Cloud::new(root.path().join("inner"));
    fs::create_dir(&inner.root).unwrap();
    let outside = cloud.run(&wanted(7)).unwrap().id();
    for text in [format!("../{outside}"), format!("paper-/../../{outside}"), "/etc/passwd".to_owned()] {
        let error = text.parse::<InstanceId>().map_err(rmachine_provider_api::Error::from).unwrap_err();
        assert!(error.to_string().starts_with("invalid instance id"), "{error}");
    }
    for text in ["paper-..", "paper-.", "etc", "paper-", outside.as_str()] {
        assert!(matches!(inner.get(&text.parse().unwrap()), Err(Fault::Missing)), "{text}");
    }
}
