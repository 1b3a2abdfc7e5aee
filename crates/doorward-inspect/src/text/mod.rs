//! Forms of a text: without what is not seen, as plain folded words, and with encoded parts opened.

mod disguise;
mod encoded;
mod fold;
mod letters;
mod markup;
mod unseen;

pub use disguise::{Disguise, Plain, undisguise};
pub use encoded::{Coding, Opened, encode_base64, open};
pub use fold::{Folded, fold, fold_word};
pub use letters::mixed_scripts;
pub use markup::{escaped_parts, unescaped};
pub use unseen::{Removed, Unseen, strip, unseen};
