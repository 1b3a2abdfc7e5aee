//! OpenAPI documents, and the tools and requests built from them.

mod tools;
