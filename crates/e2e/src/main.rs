//! The hub's program under a name of its own, so that the tests beside it can start, kill and restart it.

fn main() -> std::process::ExitCode {
    trunkline_hub::main()
}
