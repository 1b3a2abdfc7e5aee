//! Names of headers that are looked for with every request, read once.

use doorward_mcp::headers;
use http::HeaderName;

pub static PROTOCOL_VERSION: HeaderName = HeaderName::from_static(headers::PROTOCOL_VERSION);
pub static METHOD: HeaderName = HeaderName::from_static(headers::METHOD);
pub static NAME: HeaderName = HeaderName::from_static(headers::NAME);
pub static SESSION_ID: HeaderName = HeaderName::from_static(headers::SESSION_ID);
