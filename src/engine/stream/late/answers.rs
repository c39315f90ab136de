//! What is known of keys that were looked up late, within a bound.

use std::sync::Arc;

use foldhash::quality::RandomState;
use hashbrown::HashMap;

/// The attributes of a key; `None` where nothing is found.
pub(super) type Answer = Option<Arc<[u8]>>;

/// What an answer takes beside its bytes: its place in the table, and what the allocator adds.
const ANSWER_BYTES: usize = 112;

/// Answers in two generations: when the younger is full, the older is forgotten. One that is asked
/// for again becomes young again, so that what many rows want stays.
#[derive(Debug)]
pub(super) struct Answers {
    young: Generation,
    old: Generation,
    /// Of one generation.
    limit_bytes: usize,
}

#[derive(Debug, Default)]
struct Generation {
    answers: HashMap<Arc<[u8]>, Answer, RandomState>,
    bytes: usize,
}

impl Answers {
    /// Room for so many bytes.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            young: Generation::default(),
            old: Generation::default(),
            limit_bytes: limit_bytes / 2,
        }
    }

    /// What is known of this key; `None` where nothing is.
    pub fn recall(&mut self, key: &[u8]) -> Option<Answer> {
        if let Some(answer) = self.young.answers.get(key) {
            return Some(answer.clone());
        }
        let (key, answer) = self.old.answers.remove_entry(key)?;
        self.keep(key, answer.clone());
        Some(answer)
    }

    /// Remembers an answer, unless it is larger than the room for all.
    pub fn remember(&mut self, key: &[u8], answer: Answer) {
        self.keep(Arc::from(key), answer);
    }

    fn keep(&mut self, key: Arc<[u8]>, answer: Answer) {
        let bytes =
            ANSWER_BYTES + key.len() + answer.as_ref().map_or(0, |attributes| attributes.len());
        if bytes > self.limit_bytes {
            return;
        }
        if self.young.bytes + bytes > self.limit_bytes {
            self.old = std::mem::take(&mut self.young);
        }
        if self.young.answers.insert(key, answer).is_none() {
            self.young.bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_again_stays_and_the_rest_is_forgotten_within_the_bound() {
        let mut answers = Answers::new(20 * (ANSWER_BYTES + 8));
        assert_eq!(answers.recall(b"popular "), None);
        answers.remember(b"popular ", None);
        for number in 0..1000_u64 {
            answers.remember(&number.to_le_bytes(), None);
            assert_eq!(answers.recall(b"popular "), Some(None), "{number}");
            assert_eq!(answers.recall(&number.to_le_bytes()), Some(None));
            assert!(answers.young.answers.len() + answers.old.answers.len() <= 20);
        }
        assert_eq!(answers.recall(&5_u64.to_le_bytes()), None);
        let attributes: Arc<[u8]> = Arc::from(&b"attributes"[..]);
        answers.remember(b"found", Some(attributes.clone()));
        assert_eq!(answers.recall(b"found"), Some(Some(attributes)));
        answers.remember(b"huge", Some(Arc::from(vec![0; 1 << 20])));
        assert_eq!(answers.recall(b"huge"), None);
        assert!(answers.recall(b"found").is_some());
    }
}
