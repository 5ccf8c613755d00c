//! The recipients of a mail, in little memory: many mails may wait for their replies.

use crate::mail::Reply;

/// Addresses, and the replies to them.
#[derive(Debug, Default)]
pub(super) struct Recipients {
    addresses: String,
    /// Length of each address, and the code of its reply, 0 until it comes.
    each: Vec<(u16, u16)>,
}

impl Recipients {
    /// Memory for one.
    pub(super) fn cost(address: &str) -> usize {
        address.len() + size_of::<(u16, u16)>()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.each.len()
    }

    /// Adds one: its index.
    pub(super) fn push(&mut self, address: &str) -> u16 {
        let (index, len) = (u16::try_from(self.len()), u16::try_from(address.len()));
        let (Ok(index), Ok(len)) = (index, len) else {
            return u16::MAX;
        };
        self.addresses.push_str(address);
        self.each.push((len, 0));
        index
    }

    /// The reply to one, if it is listed.
    pub(super) fn answer(&mut self, index: usize, reply: &Reply) {
        if let Some((_, code)) = self.each.get_mut(index) {
            *code = reply.code.parse().unwrap_or_default();
        }
    }

    /// The first from `start` on that the server took.
    pub(super) fn taken(&self, start: usize) -> Option<usize> {
        let mut rest = self.each.iter().enumerate().skip(start);
        rest.find(|(_, (_, code))| code / 100 == 2)
            .map(|(index, _)| index)
    }

    /// As they are told.
    pub(super) fn list(&self) -> Vec<(String, Option<String>)> {
        let mut rest = self.addresses.as_str();
        let each = self.each.iter().map(|(len, code)| {
            let (address, more) = rest.split_at_checked(usize::from(*len)).unwrap_or_default();
            rest = more;
            (address.to_owned(), (*code > 0).then(|| code.to_string()))
        });
        each.collect()
    }
}
