//! Extensions that a client asks for (spec 1.0 §3.2.6, §4.6).

use crate::card::AgentCard;
use crate::error::{Error, ErrorKind};
use crate::revision::Revision;

/// Most URIs of a header that are read.
const MOST: usize = 64;

/// The header with the URIs of extensions, in requests and responses.
pub const fn header(revision: Revision) -> &'static str {
    match revision {
        Revision::V1_0 => "a2a-extensions",
        Revision::V0_3 => "x-a2a-extensions",
    }
}

/// The URIs in the values of the header: separated by commas, each once.
///
/// # Errors
/// `InvalidRequest` if there are more than 64.
pub fn read<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Vec<String>, Error> {
    let mut uris: Vec<String> = Vec::new();
    let all = values.into_iter().flat_map(|value| value.split(',')).map(str::trim);
    for uri in all.filter(|uri| !uri.is_empty()) {
        if uris.iter().any(|known| known == uri) {
            continue;
        }
        if uris.len() == MOST {
            let why = format!("more than {MOST} extensions are asked for");
            return Err(Error::new(ErrorKind::InvalidRequest, why));
        }
        uris.push(uri.to_owned());
    }
    Ok(uris)
}

/// The value of the header.
pub fn write(uris: &[String]) -> String {
    uris.join(", ")
}

impl AgentCard {
    /// Checks that the client supports the extensions that the agent requires.
    ///
    /// # Errors
    /// `ExtensionSupportRequired`, which names the first that is missing.
    pub fn check_extensions(&self, requested: &[String]) -> Result<(), Error> {
        match self.required_extensions().find(|uri| !requested.iter().any(|known| known == uri)) {
            None => Ok(()),
            Some(uri) => Err(Error::new(
                ErrorKind::ExtensionSupportRequired,
                "the agent requires an extension; name it in the header 'A2A-Extensions'",
            )
            .with("extension", uri)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_read_once_each() {
        let uris = read(["https://a/1, https://b/2", "", "https://a/1,,"]).unwrap();
        assert_eq!(uris, ["https://a/1", "https://b/2"]);
        assert_eq!(read([&*write(&uris)]).unwrap(), uris);
        let many: Vec<String> = (0..=MOST).map(|n| n.to_string()).collect();
        assert_eq!(read([&*write(&many)]).unwrap_err().kind, ErrorKind::InvalidRequest);
    }
}
