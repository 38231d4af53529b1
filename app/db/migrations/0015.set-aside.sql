-- depends: 0014.request-digest
-- Webhooks that could never be written, by the id of their row: `spool_id` is their id in the spool of a process that
-- holds them (several may), `asked_at` when somebody wanted them tried again.
CREATE TABLE IF NOT EXISTS `rushes_set_aside` (
  `webhook_id` CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `spool_id` CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `asked_at` DATETIME(6) NULL,
  `created_at` DATETIME(6) NOT NULL,
  PRIMARY KEY (`webhook_id`, `spool_id`),
  INDEX `rushes_set_aside_spool` (`spool_id`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
