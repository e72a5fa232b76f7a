//! The commented `trunkline.toml` that `trunkline init` writes: every key with its default, switched off
//! by a `#` without a space, and one example source. Tests hold it against the readers.

const TEMPLATE: &str = include_str!("default.toml");

/// Returns the text of a fresh `trunkline.toml` whose example source takes its secret from the given
/// reference, such as `file:secrets/example` or `env:EXAMPLE_SECRET`.
pub fn default_file(example_secret: &str) -> String {
    let quoted = example_secret.replace('\\', r"\\").replace('"', "\\\"");
    TEMPLATE.replace("env:EXAMPLE_SECRET", &quoted)
}
