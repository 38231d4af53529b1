-- depends: 0041.notices
-- How generations ended, in the order of their ends: lists of them are read from this index alone.
SET @statement = COALESCE(
  (SELECT 'DO 0' FROM information_schema.STATISTICS
   WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'rushes_ends' AND INDEX_NAME = 'rushes_ends_listed' LIMIT 1),
  'ALTER TABLE `rushes_ends` ADD INDEX `rushes_ends_listed` (`quarter`, `event_id`, `ended`, `took`)'
);
PREPARE migration FROM @statement;
EXECUTE migration;
DEALLOCATE PREPARE migration;
