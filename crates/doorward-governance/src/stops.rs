//! Emergency stops: what is stopped, and whether a call, session or credential is concerned.
