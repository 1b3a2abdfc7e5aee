//! State that doors keep while the gateway runs, such as the tasks of a protocol. The gateway does not know what it is.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// One value of each type.
#[derive(Default)]
pub struct DoorState(Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl DoorState {
    /// The value of a type, which is made when it is wanted first.
    pub fn of<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        let mut all = self.0.lock();
        let found = all.get(&TypeId::of::<T>()).cloned();
        match found.and_then(|found| found.downcast().ok()) {
            Some(found) => found,
            None => {
                let made = Arc::<T>::default();
                all.insert(TypeId::of::<T>(), made.clone());
                made
            }
        }
    }
}

impl std::fmt::Debug for DoorState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DoorState")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_one_value() {
        let state = DoorState::default();
        state.of::<Mutex<Vec<u8>>>().lock().push(7);
        assert_eq!(*state.of::<Mutex<Vec<u8>>>().lock(), [7]);
        assert!(state.of::<Mutex<Vec<u16>>>().lock().is_empty());
    }
}
