-- depends: 0045.shown
-- How far the log has been gone over for the webhooks that its events tell to have changed. It comes before the column in
-- which they tell it, so that none is passed over.
INSERT IGNORE INTO `rushes_places` (`name`, `place`)
SELECT 'changes_log', `value` FROM `rushes_counter` WHERE `id` = 1;
