//! Names of servers and tools that differ only in case, confusable letters (UTS 39) or invisible characters.
