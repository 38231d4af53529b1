-- depends: 0012.ticket-key
-- As bytes: text is compared without its spaces at the end, and the key of one user was that of another.
ALTER TABLE `rushes_requests` MODIFY `user_id` VARBINARY(764) NOT NULL, MODIFY `idempotency_key` VARBINARY(764) NOT NULL;
