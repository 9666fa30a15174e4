//! Properties of the flags of all drivers: what they read, and what the drivers make of it.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use rmachine_model::drivers::Drivers;
use rmachine_provider_api::{Driver, Flag, FlagKind, Kind, Value, Values};
use rmachine_provider_fake::{Account, FakeDriver};
use rmachine_testkit::cases;

use crate::drivers;

static DRIVERS: LazyLock<Drivers> = LazyLock::new(|| {
    let fake: Arc<dyn Driver> = Arc::new(FakeDriver::new(Account::default()));
    Drivers::of(drivers::compiled_in().iter().cloned().chain([fake]).collect())
});
static FLAGS: LazyLock<Vec<&Flag>> = LazyLock::new(|| DRIVERS.iter().flat_map(|driver| &driver.info().flags).collect());

const KINDS: [FlagKind; 4] = [FlagKind::Text, FlagKind::Integer, FlagKind::Switch, FlagKind::List];

/// What some flag of some driver takes, or nearly.
const TEXTS: [&str; 40] = [
    "true",
    "False",
    "0",
    "1",
    "-1",
    "99999999999999999999",
    " 7 ",
    "1.5",
    "512m",
    "2g",
    "1.5TiB",
    "8080:80",
    "8000-8010:80-90",
    "9-1",
    "[::1]:5353:53/udp",
    "127.0.0.1:80",
    "127.0.0.2",
    "::1",
    "10.0.0.0/8",
    "0.0.0.0/0",
    "10.0.0.0/33",
    "host.example",
    "u@h",
    "unix:///x.sock",
    "tcp://10.0.0.1:2376",
    "tcp://[::1]:1",
    "https://u:p@h/x",
    "http://localhost:1",
    "file:///x",
    "us-east-1",
    "eu-west-1a",
    "ami-0123456789abcdef0",
    "subnet-1",
    "sg-1,sg-2",
    "key=value",
    "spot",
    "amd64",
    "auto",
    "SHA256:x",
    "/nonexistent",
];

fn typed() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0..TEXTS.len()).prop_map(|index| TEXTS[index].to_owned()),
        1 => prop::collection::vec(0..TEXTS.len(), 0..4).prop_map(|picks| picks.into_iter().map(|pick| TEXTS[pick]).collect()),
        1 => cases::texts(0..8),
        1 => any::<i64>().prop_map(|number| number.to_string()),
    ]
}

/// `value` as a user would type it.
fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Switch(on) => on.to_string(),
        Value::List(items) => items.join(","),
    }
}

proptest! {
    #![proptest_config(cases::config(1))]

    #[test]
    fn a_flag_reads_any_text_or_says_its_name(flag in any::<u16>(), kind in 0..8_usize, text in typed(), secret in any::<bool>()) {
        let mut flag = FLAGS[usize::from(flag) % FLAGS.len()].clone();
        flag.kind = KINDS.get(kind).copied().unwrap_or(flag.kind);
        flag.secret |= secret;
        match flag.parse(&text) {
            Ok(value) => {
                let kind = match &value {
                    Value::Text(read) => {
                        prop_assert_eq!(read, &text);
                        FlagKind::Text
                    }
                    Value::Integer(_) => FlagKind::Integer,
                    Value::Switch(_) => FlagKind::Switch,
                    Value::List(items) => {
                        prop_assert!(items.iter().all(|item| !item.is_empty() && !item.contains(',') && item.trim() == item));
                        FlagKind::List
                    }
                };
                prop_assert_eq!(kind, flag.kind);
                prop_assert_eq!(flag.parse(&shown(&value)).unwrap(), value);
            }
            Err(error) => {
                let error = error.to_string();
                prop_assert!(error.contains(&flag.name));
                prop_assert!(!flag.secret || text.len() < 12 || !error.contains(&text), "{error}");
            }
        }
    }

    #[test]
    fn whole_numbers_and_lists_read_back(number in any::<i64>(), items in prop::collection::vec(cases::texts(1..8), 0..5)) {
        let (numbers, list) = (Flag::integer("x-number", "N", "number"), Flag::list("x-list", "X", "list"));
        prop_assert_eq!(numbers.parse(&number.to_string()).unwrap(), Value::Integer(number));
        let items: Vec<String> = items.iter().map(|item| item.replace(',', "").trim().to_owned()).filter(|item| !item.is_empty()).collect();
        prop_assert_eq!(list.parse(&items.join(" ,, ")).unwrap(), Value::List(items));
    }

    #[test]
    fn drivers_take_any_flags_or_say_why_not(driver in any::<u8>(), typed in prop::collection::vec((any::<u16>(), typed()), 0..6)) {
        let drivers: Vec<_> = DRIVERS.iter().collect();
        let driver = drivers[usize::from(driver) % drivers.len()];
        let flags = &driver.info().flags;
        let mut given = std::collections::BTreeMap::new();
        let mut secrets = Vec::new();
        for (flag, text) in typed {
            let flag = &flags[usize::from(flag) % flags.len()];
            let text = if flag.secret { format!("{text} is a secret") } else { text };
            secrets.extend(flag.secret.then(|| text.clone()));
            let Ok(value) = flag.parse(&text) else { continue };
            given.insert(flag.name.clone(), value);
        }
        let values = Values::resolve(flags, |flag| given.get(&flag.name).cloned(), |_| None).unwrap();
        match driver.configure(&values) {
            Ok(configured) => {
                let text = configured.config.to_string();
                prop_assert!(!secrets.iter().any(|secret| text.contains(secret.as_str())), "a secret is in {text}");
                let _ = (driver.scope(&configured.config), driver.place(&configured.config));
                driver.legacy_fields(&configured.config, None, None);
            }
            Err(error) => {
                prop_assert!(!error.to_string().is_empty() && error.kind() != Kind::Other, "{error:?}");
                prop_assert!(!secrets.iter().any(|secret| error.to_string().contains(secret.as_str())), "{error}");
            }
        }
    }
}
