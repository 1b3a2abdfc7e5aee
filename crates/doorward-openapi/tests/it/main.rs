//! Descriptions, and the tools and requests that come of them.

mod tools;
