//! What one CA for all means.

use std::path::Path;

use rmachine_certs as certs;
use rmachine_store::Store;

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The CA, the client's certificate and the copies of machines `names` belong together.
#[track_caller]
pub fn assert(store: &Store, names: &[String]) {
    let directory = store.certs_directory();
    let (ca, ca_key) = (read(&directory.join("ca.pem")), read(&directory.join("ca-key.pem")));
    assert!(certs::key_matches(&ca, &ca_key).unwrap());
    let client = read(&directory.join("cert.pem"));
    assert!(certs::signed_by(&client, &ca).unwrap());
    assert!(certs::key_matches(&client, &read(&directory.join("key.pem"))).unwrap());
    for name in names {
        let file = |file: &str| read(&store.machine_file(name, file));
        assert_eq!(file("ca.pem"), ca, "{name}");
        assert!(certs::signed_by(&file("cert.pem"), &ca).unwrap(), "{name}");
        assert!(certs::key_matches(&file("cert.pem"), &file("key.pem")).unwrap(), "{name}");
    }
}
