-- depends: 0032.replays
-- Which received webhooks each transaction has changed: 16 bytes for each id. Inserted by that transaction, and numbered
-- after its commit: `number` is that of its first webhook, NULL until then.
CREATE TABLE IF NOT EXISTS `rushes_changes` (
  `id` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  `number` BIGINT UNSIGNED NULL,
  `ids` MEDIUMBLOB NOT NULL,
  PRIMARY KEY (`id`),
  INDEX `rushes_changes_number` (`number`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
