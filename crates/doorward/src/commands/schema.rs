//! `doorward schema`: the JSON Schema of the configuration.

use std::io::Write;

use doorward_config::Settings;

use super::Failed;

pub fn run() -> Result<(), Failed> {
    Ok(std::io::stdout().write_all(text().as_bytes())?)
}

/// The schema, as published in `docs/doorward.schema.json`.
pub fn text() -> String {
    let mut schema = schemars::schema_for!(Settings);
    schema.insert("title".into(), "The configuration of Doorward, doorward.yaml".into());
    format!("{:#}\n", schema.to_value())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_published_schema_is_that_of_this_version() {
        let published = include_str!("../../../../docs/doorward.schema.json");
        assert!(
            published == super::text(),
            "docs/doorward.schema.json is old: write it anew with 'doorward schema'"
        );
    }
}
