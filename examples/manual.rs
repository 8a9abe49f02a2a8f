//! Prints what is made from the table of settings: `cargo run --example manual
//! -- man`, `-- file` for `contrib/ncprop279.toml`, or `-- settings` for
//! `docs/settings.md`.

use ncprop279::config::documents;

fn main() -> Result<(), &'static str> {
    let page = match std::env::args().nth(1).as_deref() {
        Some("man") => documents::manual(),
        Some("file") => documents::example_file(),
        Some("settings") => documents::settings_page(),
        _ => return Err("usage: manual man|file|settings"),
    };
    print!("{page}");
    Ok(())
}
