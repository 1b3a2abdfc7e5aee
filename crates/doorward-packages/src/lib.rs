//! Packages of npm, PyPI, OCI registries and MCP bundles: resolved once into a lock, verified against digests and
//! signatures, and unpacked without running scripts.
