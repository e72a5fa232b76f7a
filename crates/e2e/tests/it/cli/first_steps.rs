//! From nothing to a first webhook: `init`, `check`, `serve`, and looking at what came in.

use std::os::unix::fs::PermissionsExt as _;

use super::{Cli, text, word};
use crate::hub::{Site, client};
use crate::load::{body, send_to};
use crate::stores::on_each_store;

on_each_store![a_hub_is_three_commands_away];

async fn a_hub_is_three_commands_away(site: Site) {
    let folder = site.folder().join("hub");
    let (config, secret) = (folder.join("trunkline.toml"), folder.join("secrets/example"));
    let made = Cli::bare().run(&["init", text(&folder)]).await.expect(0);
    assert!(made.contains(text(&config)) && made.contains(text(&secret)) && made.contains("trunkline serve"));
    assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    let value = std::fs::read_to_string(&secret).unwrap().trim().to_owned();
    assert!(!made.contains(&value), "the secret stays in its file");
    let refused = Cli::bare().run(&["init", text(&folder)]).await.failure(3);
    assert!(refused.contains("exists already") && refused.contains("what to do"), "{refused}");
    assert_eq!(std::fs::read_to_string(&secret).unwrap().trim(), value);

    let cli = Cli::bare().with("TRUNKLINE_CONFIG", &config).with("TRUNKLINE_STORE__URL", site.store_url());
    let good = cli.run(&["check"]).await.expect(0);
    assert!(good.contains("is good") && good.contains("1 source") && good.contains(text(&config)), "{good}");

    let serving = cli.start(&["serve", "--listen", "127.0.0.1:0"]);
    let url = word(&serving.line(|line| line.contains("listening on")).await, "http://").to_owned();
    let token = word(&serving.line(|line| line.contains("admin token")).await, "tlk_").to_owned();
    let source = format!("{url}/in/example");
    let (status, request) = send_to(&client(), &source, &value, "first", body("first")).await.unwrap();
    assert_eq!(status, 202);
    let at = Cli::bare().with("TRUNKLINE_URL", &url).with("TRUNKLINE_TOKEN", &token);
    let tail = at.run(&["event", "tail"]).await.expect(0);
    let event = word(&tail, "evt_").to_owned();
    assert_eq!(event.replace("evt_", "inb_"), request);
    let journey = at.run(&["event", "journey", &request]).await.expect(0);
    assert!(
        journey.contains("request") && journey.contains(&event) && journey.contains("load.sent"),
        "{journey}"
    );
    serving.signal("TERM");
    serving.end().await.expect(0);

    // The token is there now, so that none is made.
    let serving = cli.start(&["serve", "--listen", "127.0.0.1:0"]);
    let url = word(&serving.line(|line| line.contains("listening on")).await, "http://").to_owned();
    let at = Cli::bare().with("TRUNKLINE_URL", &url).with("TRUNKLINE_TOKEN", &token);
    assert!(at.run(&["event", "show", &event]).await.expect(0).contains("load.sent"));
    serving.signal("INT");
    assert!(!serving.end().await.expect(0).contains("tlk_"), "a token is shown once");
}
