-- From where a client has registered itself: an address, of IPv6 a /64. Of the network that has most, one makes room.
ALTER TABLE oauth_clients ADD COLUMN network TEXT NOT NULL DEFAULT '';
