//! What users of ncprop279 (Go) have: its options and its file.

use super::*;

/// Its example file with every value in quotes, as it comes.
const EXAMPLE: &str = r#"
[ncprop279]
namecoinrpcaddress="127.0.0.1:8336"
namecoinrpcusername="alice"
namecoinrpcpassword="open sesame"
namecoinrpccookiepath=""
namecoinrpctimeout="10000"
cachemaxentries="150"
onlyonion="true"
"#;

fn example() -> Settings {
    changed(|all| {
        all.timeout = Duration::from_secs(10);
        all.cache.entries = 150;
        all.only_onion = true;
        all.source = SourceSettings::Rpc(RpcSettings {
            address: address("127.0.0.1", 8336),
            credentials: Credentials::Password {
                user: "alice".into(),
                password: "open sesame".into(),
            },
            dialect: DialectSetting::Auto,
            proxy: None,
        });
    })
}

#[test]
fn its_file_works_with_values_quoted_or_bare() {
    assert_eq!(file(EXAMPLE).run().settings, example());
    let bare = EXAMPLE
        .replace("\"10000\"", "10000")
        .replace("\"150\"", "150")
        .replace("\"true\"", "true");
    assert_eq!(file(&bare).run().settings, example());
    assert_eq!(file(EXAMPLE).run().warnings, [] as [String; 0]);
}

#[test]
fn its_file_is_found_by_its_option() {
    let mut its = tempfile::NamedTempFile::new().unwrap();
    its.write_all(EXAMPLE.as_bytes()).unwrap();
    let path = its.path().to_str().unwrap();
    for words in [
        vec!["-conf".to_owned(), path.to_owned()],
        vec![format!("-conf={path}")],
        vec![format!("--conf={path}")],
        vec!["--conf".to_owned(), path.to_owned()],
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(arguments(&words).run().settings, example());
    }
    arguments(&["-conf"]).fails(&["-conf", "needs a value"]);
    // A person who runs a command reads stderr only.
    let error = arguments(&["-conf", "/does/not/exist", "check"]).read();
    assert!(!error.unwrap_err().is_plugin);
}

#[test]
fn its_options_take_every_form_of_its_flag_package() {
    for words in [
        vec!["-ncprop279.onlyonion", "-ncprop279.namecoinrpctimeout=5000"],
        vec![
            "--ncprop279.onlyonion=true",
            "--ncprop279.namecoinrpctimeout",
            "5000",
        ],
        vec![
            "-ncprop279.onlyonion=T",
            "-ncprop279.namecoinrpctimeout",
            "5000",
        ],
        // The last one counts.
        vec![
            "-ncprop279.onlyonion=0",
            "-ncprop279.namecoinrpctimeout=1",
            "-ncprop279.onlyonion",
            "-ncprop279.namecoinrpctimeout=5000",
        ],
    ] {
        let expected = changed(|all| {
            all.timeout = Duration::from_secs(5);
            all.only_onion = true;
        });
        assert_eq!(arguments(&words).run().settings, expected, "{words:?}");
    }
    let words = [
        "-ncprop279.namecoinrpcaddress=[::1]:18336",
        "-ncprop279.namecoinrpcusername",
        "u",
        "-ncprop279.namecoinrpcpassword=-p=",
        "-ncprop279.cachemaxentries=7",
    ];
    let run = arguments(&words).run();
    assert_eq!(run.settings.cache.entries, 7);
    let SourceSettings::Rpc(rpc) = run.settings.source else {
        panic!()
    };
    assert_eq!(rpc.address, address("::1", 18336));
    let expected = Credentials::Password {
        user: "u".into(),
        password: "-p=".into(),
    };
    assert!(rpc.credentials == expected);
    assert!(run.warnings[0].contains("rpc-password (command line)"));
}

#[test]
fn its_options_work_beside_ours() {
    let words = [
        "-ncprop279.namecoinrpctimeout=2500",
        "--rpc-dialect",
        "core",
        "resolve",
        "a.bit",
        "-ncprop279.onlyonion",
    ];
    let run = arguments(&words).run();
    assert!(matches!(run.command, Command::Resolve { .. }));
    assert_eq!(run.settings.timeout, Duration::from_millis(2500));
    assert!(run.settings.only_onion);
    // What follows one of our options is its value, whatever it looks like.
    let words = ["--rpc-user", "u", "--rpc-password", "-ncprop279.onlyonion"];
    assert!(!arguments(&words).run().settings.only_onion);
    // The command line goes before the file, in either form.
    let mut both = file(EXAMPLE);
    both.arguments = vec!["--cache-entries=9", "-ncprop279.onlyonion=false"];
    let settings = both.run().settings;
    assert_eq!((settings.cache.entries, settings.only_onion), (9, false));
    arguments(&["--timeout=1", "-ncprop279.namecoinrpctimeout=1"])
        .fails(&["command line", "timeout more than once"]);
}

#[test]
fn the_certificate_store_swallows_no_other_option() {
    for certstore in ["-certstore.nss", "-certstore.cryptoapi", "-certstore.other"] {
        let run = arguments(&[certstore, "-ncprop279.onlyonion"]).run();
        assert!(run.settings.only_onion, "{certstore}");
        let run = arguments(&[certstore, "--only-onion", "check"]).run();
        assert!(run.settings.only_onion, "{certstore}");
    }
    for switch in ["-certstore.nss", "-certstore.cryptoapi"] {
        assert_eq!(
            arguments(&[switch, "check"]).run().command,
            Command::Check {
                serve: false,
                json: false
            }
        );
    }
}

#[test]
fn an_address_may_be_a_port_alone() {
    let run = arguments(&["-ncprop279.namecoinrpcaddress=:18336"]).run();
    let SourceSettings::Rpc(rpc) = run.settings.source else {
        panic!()
    };
    assert_eq!(rpc.address, address("127.0.0.1", 18336));
}

/// Its example file with the comment marks removed.
#[test]
fn its_file_may_have_a_cookie_beside_the_password() {
    let text = "[ncprop279]\nnamecoinrpcaddress=\"127.0.0.1:8336\"\n\
        namecoinrpcusername=\"user\"\nnamecoinrpcpassword=\"password\"\n\
        namecoinrpccookiepath=\"/home/YOURUSERNAME/.namecoin/.cookie\"\n\
        namecoinrpctimeout=\"10000\"\ncachemaxentries=\"150\"\nonlyonion=\"true\"\n";
    let run = file(text).run();
    let SourceSettings::Rpc(rpc) = run.settings.source else {
        panic!()
    };
    assert!(matches!(rpc.credentials, Credentials::Password { .. }));
    assert!(run.warnings[0].contains("cookie file is not used"));
    // As it comes, all is commented out.
    let text = text.replace('\n', "\n#");
    assert_eq!(file(&format!("#{text}")).run().settings, defaults());
}

#[test]
fn the_cookie_is_used_without_a_password_only() {
    let cookie = |words: &[&str]| match arguments(words).run() {
        Invocation {
            settings:
                Settings {
                    source: SourceSettings::Rpc(rpc),
                    ..
                },
            warnings,
            ..
        } => (rpc.credentials, warnings),
        other => panic!("{other:?}"),
    };
    let path = "-ncprop279.namecoinrpccookiepath=/c/.cookie";
    let (credentials, _) = cookie(&[path, "-ncprop279.namecoinrpcpassword="]);
    assert!(credentials == Credentials::Cookie("/c/.cookie".into()));
    // A user name alone is no proof, whatever it was given for.
    let (credentials, _) = cookie(&[path, "-ncprop279.namecoinrpcusername=u"]);
    assert!(credentials == Credentials::Cookie("/c/.cookie".into()));
    let words = [
        path,
        "-ncprop279.namecoinrpcusername=u",
        "-ncprop279.namecoinrpcpassword=p",
    ];
    let (credentials, warnings) = cookie(&words);
    assert!(matches!(credentials, Credentials::Password { .. }));
    assert!(
        warnings
            .iter()
            .any(|text| text.contains("cookie file is not used"))
    );
}

#[test]
fn options_of_the_certificate_store_earn_a_warning() {
    let expected = "certstore.* have no effect";
    for words in [
        vec!["-certstore.cryptoapi"],
        vec!["-certstore.nsscertdir=/x"],
        vec!["--certstore.nsscertdir", "/x"],
        vec!["-certstore.nss"],
    ] {
        let [warning] = arguments(&words).run().warnings.try_into().unwrap();
        assert!(warning.contains(expected), "{warning}");
    }
    let [warning] = file("[certstore]\ncryptoapi = true\n")
        .run()
        .warnings
        .try_into()
        .unwrap();
    assert!(warning.contains(expected), "{warning}");
}

#[test]
fn its_mistakes_are_explained() {
    for (words, parts) in [
        (
            vec!["-ncprop279.nonsense=1"],
            &["-ncprop279.nonsense (command line)", "no option"][..],
        ),
        (
            vec!["-ncprop279.namecoinrpctimeout=5s"],
            &["\"5s\"", "milliseconds"],
        ),
        (
            vec!["-ncprop279.onlyonion=yes"],
            &["\"yes\"", "true or false"],
        ),
        (
            vec!["-ncprop279.namecoinrpctimeout=0"],
            &["namecoinrpctimeout", "above 0"],
        ),
        (vec!["-ncprop279.cachemaxentries"], &["needs a value"]),
        (
            vec!["-ncprop279.cachemaxentries=0"],
            &["cachemaxentries", "1 or more"],
        ),
    ] {
        arguments(&words).fails(parts);
    }
    file("[ncprop279]\nonlyonion = []").fails(&["onlyonion with a list"]);
}

/// Its file could have any other entries.
#[test]
fn what_its_file_has_beyond_is_passed_over_with_a_warning() {
    let text = format!("{EXAMPLE}nonsense = [1]\n[dnsprop279]\nserver = \"192.0.2.53\"\n");
    let run = file(&text).run();
    assert_eq!(run.settings, example());
    for part in [
        "\"nonsense\" in the section ncprop279",
        "the section \"dnsprop279\"",
    ] {
        let mut warnings = run.warnings.iter();
        assert!(
            warnings.any(|text| text.contains(part)),
            "{:?}",
            run.warnings
        );
    }
    // In a file of ours it is a mistake.
    file("[dnsprop279]\nserver = 1").fails(&["section", "dnsprop279"]);
}
