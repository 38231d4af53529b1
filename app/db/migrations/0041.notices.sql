-- depends: 0040.push
-- Ends of jobs that a browser is still to be told of by Web Push. `created_at` is when the event was committed.
CREATE TABLE IF NOT EXISTS `rushes_notices` (
  `subscription_id` CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `event_id` BIGINT UNSIGNED NOT NULL,
  `job_id` VARCHAR(191) NOT NULL,
  `event` VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `created_at` DATETIME(3) NOT NULL,
  PRIMARY KEY (`subscription_id`, `event_id`),
  INDEX `rushes_notices_created` (`created_at`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
