//! The binary in the place of ncprop279 (Go): with its file and its service
//! lines, unchanged.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::node::{Flavour, Node};
use crate::support::plugin::Start;
use crate::support::run;
use crate::support::state::write_private;

const BOTH: &str = r#"{"ip":"192.0.2.1","map":{"_tor":{"txt":"2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion"}}}"#;
const ONION: &str = "0 2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion";

/// A node with a name that has an address alone, and one that has both.
fn node() -> Node {
    let node = Node::start(Flavour::RECORDED[0]);
    node.set_credentials(Some("alice:open sesame"));
    node.set("d/address", r#"{"ip":"192.0.2.1"}"#);
    node.set("d/both", BOTH);
    node
}

/// The example file, filled in; values in quotes or bare.
fn example(node: &Node, quote: &str) -> String {
    format!(
        "[ncprop279]\n\n\
         # namecoinrpcaddress=\"127.0.0.1:8336\"\n\
         namecoinrpcaddress=\"{}\"\n\
         namecoinrpcusername=\"alice\"\n\
         namecoinrpcpassword=\"open sesame\"\n\
         namecoinrpccookiepath=\"\"\n\
         namecoinrpctimeout={quote}10000{quote}\n\
         cachemaxentries={quote}150{quote}\n\
         onlyonion={quote}true{quote}\n",
        node.address()
    )
}

/// Names are looked up as the file says: with its credentials, and onion
/// services alone.
fn works(start: Start) -> Vec<String> {
    let mut plugin = start.ready();
    assert_eq!(plugin.ask("both.bit", "a"), ONION, "{}", plugin.story());
    let answer = plugin.ask("address.bit", "a");
    assert!(answer.starts_with("3 "), "{answer}");
    run::end(plugin).stderr
}

#[test]
fn its_example_file_works_as_it_is() {
    let node = node();
    for quote in ["\"", ""] {
        let path = node.path("ncprop279.conf");
        write_private(&path, example(&node, quote));
        for arguments in [vec!["-conf", &path], vec!["--conf", &path]] {
            let said = works(Start::new(&arguments));
            assert!(said.is_empty(), "{said:#?}");
        }
        assert!(works(Start::new(&[format!("-conf={path}")])).is_empty());
    }
}

/// The service line of a user without a file, in the forms of Go's flags.
#[test]
fn its_service_lines_work_as_they_are() {
    let node = node();
    let address = node.address();
    for dash in ["-", "--"] {
        let option = |name: &str| format!("{dash}ncprop279.{name}");
        let arguments = [
            format!("{}={address}", option("namecoinrpcaddress")),
            option("namecoinrpcusername"),
            "alice".to_owned(),
            format!("{}=open sesame", option("namecoinrpcpassword")),
            format!("{}=5000", option("namecoinrpctimeout")),
            option("cachemaxentries"),
            "20".to_owned(),
            option("onlyonion"),
        ];
        let said = works(Start::new(&arguments));
        // As for ours: a password does not belong there.
        assert_eq!(said.len(), 1, "{said:#?}");
        assert!(said[0].contains("can be seen by other users"), "{said:#?}");
    }
}

#[test]
fn the_certificate_store_has_no_effect_and_a_warning() {
    let node = node();
    let path = node.path("ncprop279.conf");
    let text = format!("{}[certstore]\ncryptoapi=\"true\"\n", example(&node, "\""));
    write_private(&path, text);
    let said = works(Start::new(&["-conf", &path, "-certstore.nsscertdir=/x"]));
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains("certstore.* have no effect"), "{said:#?}");
}

/// The binary under another name in a place beside which files can be put. A
/// copy could not be started while another thread starts something.
fn install(place: &Path) -> PathBuf {
    let bin = place.join("bin");
    fs::create_dir(&bin).unwrap();
    let binary = bin.join("ncprop279");
    fs::hard_link(env!("CARGO_BIN_EXE_ncprop279"), &binary).unwrap();
    binary
}

/// Beside the program and in the folder `etc` next to it, the last one counts;
/// and an option before all of them.
#[test]
fn its_file_is_found_where_it_was_looked_for() {
    let node = node();
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let binary = install(place.path());
    let etc = place.path().join("etc");
    fs::create_dir_all(etc.join("ncprop279")).unwrap();
    let wrong = "[ncprop279]\nnamecoinrpctimeout = \"soon\"\n";
    for found in [
        place.path().join("bin/ncprop279.conf"),
        etc.join("ncprop279/ncprop279.conf"),
        etc.join("ncprop279.conf"),
    ] {
        write_private(&found, example(&node, "\""));
        let said = works(Start::of(&binary, &[] as &[&str]));
        assert_eq!(said.len(), 1, "{said:#?}");
        let place = found.canonicalize().unwrap();
        assert!(said[0].contains(place.to_str().unwrap()), "{said:#?}");
        // What another file says does not matter from here on.
        write_private(&found, wrong);
    }
    let named = node.path("named.conf");
    write_private(&named, example(&node, "\""));
    assert!(works(Start::of(&binary, &["-conf", &named])).is_empty());
}
