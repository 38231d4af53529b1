-- depends: 0030.webhook-filters
-- What admins and commands did: written in the transaction of the act. `who` and `job_id` are compared as bytes; `was` and
-- `became` are JSON, NULL where there is nothing to tell.
CREATE TABLE IF NOT EXISTS `rushes_audit` (
  `id` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  `at` DATETIME(6) NOT NULL,
  `who` VARBINARY(764) NOT NULL,
  `means` VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `act` VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `webhook_id` CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  `job_id` VARBINARY(764) NULL,
  `replay_id` CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  `was` TEXT NULL,
  `became` TEXT NULL,
  PRIMARY KEY (`id`),
  INDEX `rushes_audit_webhook` (`webhook_id`, `id`),
  INDEX `rushes_audit_job` (`job_id`, `id`),
  INDEX `rushes_audit_who` (`who`, `id`),
  INDEX `rushes_audit_age` (`at`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
