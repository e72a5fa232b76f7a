//! Every way in which a pack can be wrong, each with file and line; and the bounds of what is read.

use std::path::Path;

use trunkline_packs::Pack;

use crate::fixture::{Fixture, MANIFEST, PING, SAMPLE, TESTS};

/// Writes one file over a good pack and compares all faults of the load, each by how it begins.
#[track_caller]
fn check(file: &str, content: impl AsRef<[u8]>, expect: &[&str]) {
    let fixture = Fixture::new();
    fixture.write(file, content);
    let faults = fixture.faults();
    let fits = faults.len() == expect.len()
        && faults.iter().zip(expect).all(|(found, start)| found.starts_with(start));
    assert!(fits, "\nfound:  {faults:#?}\nexpect: {expect:#?}");
}

#[test]
fn a_good_pack_is_loaded_with_all_its_parts() {
    let pack = Fixture::new().load().unwrap();
    assert_eq!(pack.manifest().name, "small");
    assert_eq!(pack.manifest().version.to_string(), "1.0.0");
    let types: Vec<_> = pack.types().map(|one| one.event_type().to_string()).collect();
    assert_eq!(types, ["ping.sent"]);
    assert_eq!(pack.samples()[0].name, "first");
    assert_eq!(pack.samples()[0].event.subject.as_deref(), Some("a"));
    assert_eq!(pack.tests()[0].line, 2);
}

#[test]
fn a_schema_is_self_contained_once_it_is_loaded() {
    let pack = Fixture::new().load().unwrap();
    let schema = &pack.types().next().unwrap().declared().schema;
    assert_eq!(schema["properties"]["note"]["$ref"], "#/$defs/note");
    assert_eq!(schema["$defs"]["note"]["maxLength"], 20);
}

#[test]
fn faults_of_the_manifest() {
    check("pack.yaml", "", &["pack.yaml:1: the file is empty"]);
    check("pack.yaml", "- a\n", &["pack.yaml:1: a manifest is a mapping, found a list"]);
    check(
        "pack.yaml",
        "name: Small\nversion: \"1.0\"\ntitle: 3\ndescription: ' '\n",
        &[
            "pack.yaml:1: `name` is `Small`",
            "pack.yaml:2: `version` is `1.0`, which is no semantic version",
            "pack.yaml:3: `title` must be text, found a number",
            "pack.yaml:4: `description` is empty",
        ],
    );
    check(
        "pack.yaml",
        "name: small\nversoin: 1.0.0\ntitle: Small\ndescription: x\n",
        &["pack.yaml:1: `version` is missing", "pack.yaml:2: a manifest knows no `versoin`"],
    );
    check(
        "pack.yaml",
        format!("{MANIFEST}requires:\n  hub: '>=99'\n"),
        &["pack.yaml:6: the pack needs hub >=99, this is"],
    );
    check("pack.yaml", format!("{MANIFEST}requires: {{hub: soon}}\n"), &["pack.yaml:5: `hub` is `soon`"]);
    check("pack.yaml", format!("{MANIFEST}requires: {{}}\n"), &["pack.yaml:5: `hub` is missing"]);
    check("pack.yaml", "name: [\n", &["pack.yaml:1: no valid YAML"]);
}

#[test]
fn a_fix_names_the_nearest_known_word() {
    let fixture = Fixture::new();
    fixture.write("pack.yaml", MANIFEST.replace("title", "tilte"));
    let faults = fixture.load().unwrap_err();
    assert_eq!(faults[1].fix, "did you mean `title`?");
    let shown = faults[1].to_string();
    assert!(
        shown.ends_with("pack.yaml:3:1: a manifest knows no `tilte`. Fix: did you mean `title`?."),
        "{shown}"
    );
}

#[test]
fn faults_of_event_types() {
    let replaced = |from: &str, to: &str| {
        assert!(PING.contains(from), "{from}");
        PING.replacen(from, to, 1)
    };
    let file = "schemas/ping.sent.json";
    check(file, "{", &["schemas/ping.sent.json:1: no valid JSON"]);
    check(file, "[]", &["schemas/ping.sent.json:1: an event type is a mapping"]);
    check(file, replaced("ping.sent", "ping..sent"), &["schemas/ping.sent.json:2: `type` is `ping..sent`"]);
    check(
        file,
        replaced("\"title\"", "\"titel\""),
        &[
            "schemas/ping.sent.json:1: `title` is missing",
            "schemas/ping.sent.json:3: an event type knows no `titel`",
        ],
    );
    check(
        file,
        replaced("\"title\": \"Ping\"", "\"version\": 0, \"title\": \"P\""),
        &["schemas/ping.sent.json:3: `version` must be a whole number from 1"],
    );
    check(
        file,
        replaced("\"title\": \"Ping\"", "\"replaced_by\": \"ping.sent\", \"title\": \"P\""),
        &[
            "schemas/ping.sent.json:3: `replaced_by` names the type itself",
            "schemas/ping.sent.json:3: `replaced_by` without `deprecated`",
        ],
    );
    check(
        file,
        replaced("\"count\": 2", "\"count\": 0, \"x\": 1"),
        &[
            "schemas/ping.sent.json:15: /example/count: must be at least 1",
            "schemas/ping.sent.json:15: /example/x: is no property that belongs here",
        ],
    );
    check(
        "schemas/ping.again.json",
        PING,
        &["schemas/ping.sent.json:2: version 1 of ping.sent is declared by ping.again.json too"],
    );
}

#[test]
fn faults_of_schemas() {
    let replaced = |from: &str, to: &str| {
        assert!(PING.contains(from), "{from}");
        PING.replacen(from, to, 1)
    };
    let file = "schemas/ping.sent.json";
    let at = |line: u32, problem: &str| format!("schemas/ping.sent.json:{line}: {problem}");
    let check = |content: String, expect: &[String]| {
        let expect: Vec<&str> = expect.iter().map(String::as_str).collect();
        check(file, content, &expect);
    };
    check(replaced("\"required\":", "\"requird\":"), &[at(7, "/requird: unknown keyword `requird`")]);
    check(replaced("\"uuid\"", "\"uiud\""), &[at(9, "/properties/id/format: unknown format `uiud`")]);
    check(
        replaced("\"minimum\": 1", "\"minimum\": \"1\""),
        &[at(10, "/properties/count/minimum: must be number")],
    );
    check(
        replaced("\"minimum\": 1", "\"nullable\": true"),
        &[at(10, "/properties/count/nullable: `nullable` is not")],
    );
    check(
        replaced("\"minimum\": 1", "\"pattern\": \"(?<=a)b\""),
        &[at(10, "/properties/count/pattern: `(?<=a)b` is no regular expression that can be run")],
    );
    check(replaced("\"integer\"", "\"whole\""), &[at(10, "/properties/count/type: ")]);
    check(
        replaced("defs/texts.json#/$defs/note", "defs/text.json"),
        &[at(
            11,
            "/properties/note/$ref: `defs/text.json`: the pack has no schema file schemas/defs/text.json",
        )],
    );
    check(
        replaced("texts.json#/$defs/note", "texts.json#/$defs/nose"),
        &[at(11, "/properties/note/$ref: `defs/texts.json#/$defs/nose`: leads to no schema")],
    );
    check(
        replaced("defs/texts.json#/$defs/note", "https://example.com/s.json"),
        &[at(11, "/properties/note/$ref: `https://example.com/s.json`: references lead to this document")],
    );
    check(
        replaced("defs/texts.json#/$defs/note", "../../../etc/passwd"),
        &[at(11, "/properties/note/$ref: `../../../etc/passwd`: leads out of schemas/")],
    );
    check(replaced("defs/texts.json#/$defs/note", "#").replace(", \"note\": \"hello\"", ""), &[]);
    check(
        replaced("\"type\": \"object\"", "\"$ref\": \"#\""),
        &[at(5, "/schema: the schema applies itself to the same value again")],
    );
    check(
        replaced("\"type\": \"object\"", "\"$schema\": \"http://json-schema.org/draft-07/schema#\""),
        &[at(6, "/$schema: the dialect is")],
    );
    check(
        replaced("\"type\": \"object\"", "\"$id\": \"https://example.com/x\""),
        &[at(6, "/$id: `$id` is not")],
    );
}

#[test]
fn faults_of_shared_definitions() {
    check(
        "schemas/defs/texts.json",
        "{\n \"$defs\": {\n  \"note\": {\"maxLenght\": 3}}}",
        &["schemas/defs/texts.json:3: /$defs/note/maxLenght: unknown keyword `maxLenght`"],
    );
    check("schemas/defs/more.json", "[1]", &["schemas/defs/more.json:1: a schema is an object"]);
}

#[test]
fn faults_of_samples() {
    let file = "samples/first.json";
    check(
        file,
        SAMPLE.replace("ping.sent", "ping.sended"),
        &["samples/first.json:2: the pack declares no event type ping.sended"],
    );
    check(file, SAMPLE.replace("subject", "subjekt"), &["samples/first.json:3: an event knows no `subjekt`"]);
    check(
        file,
        SAMPLE.replace("data", "payload"),
        &["samples/first.json:1: `data` is missing", "samples/first.json:4: an event knows no `payload`"],
    );
}

#[test]
fn faults_of_tests() {
    let file = "tests/ping.yaml";
    check(file, "tests: []\n", &["tests/ping.yaml:1: `tests` is empty"]);
    check(
        file,
        TESTS.replace("sample: first", "sample: frist"),
        &["tests/ping.yaml:4: the pack has no sample `frist`"],
    );
    check(
        file,
        TESTS.replace("remove: [/count]", "remove: [/cuont]"),
        &["tests/ping.yaml:5: `/cuont` leads to nothing in the data"],
    );
    check(
        file,
        TESTS.replace("remove: [/count]", "set: {/a/b: 1}"),
        &["tests/ping.yaml:5: `/a/b` leads to no place in the data"],
    );
    check(
        file,
        TESTS.replace("schema:", "deliveries:"),
        &[
            "tests/ping.yaml:7: `expect` knows no `deliveries`",
            "tests/ping.yaml:7: `expect` says nothing this version knows",
        ],
    );
    check(
        file,
        TESTS.replace("    expect:", "    expect:\n      events: []"),
        &["tests/ping.yaml:7: `expect` knows no `events`"],
    );
    check(
        file,
        TESTS.replace("{at: /count, keyword: required}", "{at: count}"),
        &["tests/ping.yaml:9: `at` must be a JSON pointer"],
    );
    check(
        file,
        TESTS.replace("invalid:", "invalib:"),
        &["tests/ping.yaml:8: `invalid` is missing", "tests/ping.yaml:8: `schema` knows no `invalib`"],
    );
    let twice = format!("{TESTS}{}", TESTS.trim_start_matches("tests:\n"));
    check(file, twice, &["tests/ping.yaml:10: a second test named `a ping needs a count`"]);
    check(
        file,
        TESTS.replace("sample: first", "sample: first\n      event: {type: ping.sent, data: {}}"),
        &["tests/ping.yaml:4: `given` names either a `sample` or an `event`"],
    );
}

#[test]
fn what_this_version_does_not_know_is_refused() {
    check("mappings/a.jq", ".", &["mappings: a folder that this version does not know"]);
    check("workflows/a.yml", "x: 1", &["workflows/a.yml: only files named *.yaml belong here"]);
    check("notifications.yaml", "x: 1", &["notifications.yaml: a file that this version does not know"]);
    check("schemas/old/a.json", "{}", &["schemas/old: a folder that this version does not know"]);
    check("schemas/notes.txt", "x", &["schemas/notes.txt: only files named *.json belong here"]);
    check("tests/more.yml", "x", &["tests/more.yml: only files named *.yaml belong here"]);
    check("README.md", "For people.", &[]);
    check(".git/config", "hidden", &[]);
    let fixture = Fixture::new();
    fixture.write("sampels/a.json", "{}");
    assert_eq!(fixture.load().unwrap_err()[0].fix, "did you mean samples/?");
}

#[test]
fn all_faults_of_all_files_come_at_once() {
    let fixture = Fixture::new();
    fixture.write("pack.yaml", "name: small\n");
    fixture.write("schemas/ping.sent.json", PING.replace("uuid", "guid"));
    fixture.write("schemas/other.json", "nonsense");
    fixture.write("templates/a.html", "");
    let files: Vec<String> =
        fixture.faults().iter().map(|fault| fault.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(
        files,
        ["pack.yaml", "pack.yaml", "pack.yaml", "schemas/other.json", "schemas/ping.sent.json", "templates"]
    );
}

#[test]
fn a_folder_that_is_no_pack_is_refused() {
    let fixture = Fixture::empty();
    assert_eq!(fixture.faults(), [": pack.yaml is missing"]);
    let faults = Pack::load(&fixture.path("nowhere")).unwrap_err();
    assert_eq!(faults[0].problem, "cannot be opened: entity not found");
    fixture.write("file", "x");
    assert_eq!(Pack::load(&fixture.path("file")).unwrap_err()[0].problem, "is no folder");
}

#[test]
fn files_are_read_within_bounds() {
    check("samples/huge.json", vec![b' '; (1 << 20) + 1], &["samples/huge.json: larger than 1048576 bytes"]);
    check("schemas/latin.json", b"{\"a\": \"\xe4\"}", &["schemas/latin.json: no UTF-8 text: byte 7 belongs"]);
    let fixture = Fixture::new();
    for index in 0..=16 {
        fixture
            .write(&format!("schemas/defs/big{index:02}.json"), format!("{{}}{}", " ".repeat((1 << 20) - 2)));
    }
    let faults = fixture.faults();
    assert!(faults.len() == 1 && faults[0].contains("the pack is larger than 16777216 bytes"), "{faults:?}");
    let fixture = Fixture::new();
    for index in 0..1001 {
        fixture.write(&format!("samples/{index}.json"), "");
    }
    assert!(fixture.faults().contains(&"samples: more than 1000 files in a pack".to_owned()));
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut bomb = String::from("a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
    for level in 1..10 {
        let line = format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", "));
        bomb.push_str(&line);
    }
    check("pack.yaml", &bomb, &["pack.yaml:5: more than 100000 values, with aliases written out"]);
    check("tests/bomb.yaml", &bomb, &["tests/bomb.yaml:5: more than 100000 values"]);
}

#[test]
fn a_schema_bomb_is_refused() {
    let definitions: Vec<String> = (0..40)
        .map(|n| {
            let next = format!("{{\"$ref\": \"#/$defs/d{}\"}}", (n + 1).min(39));
            let body = if n == 39 { "true".to_owned() } else { format!("{{\"allOf\": [{next}, {next}]}}") };
            format!("\"d{n}\": {body}")
        })
        .collect();
    let schema = format!("\"$ref\": \"#/$defs/d0\", \"$defs\": {{{}}}", definitions.join(", "));
    check(
        "schemas/ping.sent.json",
        PING.replace("\"type\": \"object\"", &schema),
        &["schemas/ping.sent.json:5: /schema: checking data against the schema would take too long"],
    );
}

#[cfg(unix)]
#[test]
fn symbolic_links_stay_inside() {
    use std::os::unix::fs::symlink;
    let outside = Fixture::new();
    let link = |from: &str, to: &Path| {
        let fixture = Fixture::new();
        symlink(to, fixture.path(from)).unwrap();
        fixture.faults()
    };
    let leaves = "a symbolic link that leaves the pack";
    assert_eq!(
        link("samples/second.json", &outside.path("samples/first.json")),
        [format!("samples/second.json: {leaves}")]
    );
    assert_eq!(
        link("schemas/passwd.json", Path::new("/etc/passwd")),
        [format!("schemas/passwd.json: {leaves}")]
    );
    assert_eq!(link("samples/second.json", Path::new("first.json")), [] as [String; 0]);
    assert_eq!(
        link("samples/gone.json", Path::new("nothing.json")),
        ["samples/gone.json: cannot be opened: entity not found"]
    );
    assert_eq!(
        link("schemas/device.json", Path::new("/dev/zero")),
        [format!("schemas/device.json: {leaves}")]
    );
    let fixture = Fixture::new();
    std::fs::remove_dir_all(fixture.path("samples")).unwrap();
    symlink(outside.path("samples"), fixture.path("samples")).unwrap();
    assert!(fixture.faults().contains(&format!("samples: {leaves}")));
    // Mounted configuration: the visible names are links into a hidden folder beside them.
    let mounted = Fixture::new();
    std::fs::rename(mounted.path("schemas"), mounted.path("..data")).unwrap();
    symlink("..data", mounted.path("schemas")).unwrap();
    assert_eq!(mounted.faults(), [] as [String; 0]);
}
