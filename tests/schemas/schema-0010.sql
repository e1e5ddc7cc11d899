BEGIN TRANSACTION;
CREATE TABLE admissions (
	organisation VARCHAR(200) NOT NULL, 
	rule VARCHAR(200) NOT NULL, 
	claim TEXT NOT NULL, 
	changed_ms BIGINT NOT NULL, 
	changed_by VARCHAR(200) NOT NULL, 
	PRIMARY KEY (organisation, rule)
);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0010');
CREATE TABLE bills (
	run_id VARCHAR(200) NOT NULL, 
	job_id VARCHAR(200) NOT NULL, 
	site VARCHAR(200) NOT NULL, 
	billed_ms BIGINT NOT NULL, 
	device_milli_ms BIGINT NOT NULL, 
	energy_j BIGINT NOT NULL, 
	carbon_location_ug BIGINT, 
	carbon_contract_ug BIGINT, 
	device_micros BIGINT NOT NULL, 
	power_micros BIGINT NOT NULL, 
	transfer_micros BIGINT NOT NULL, 
	rounding_micros BIGINT NOT NULL, 
	total_micros BIGINT NOT NULL, 
	carbon_shown_micros BIGINT, data_micros BIGINT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (run_id), 
	FOREIGN KEY(run_id) REFERENCES runs (run_id), 
	FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
INSERT INTO "bills" VALUES('run_2be3dc09d8a84e0a','job_word-array','plateau',1795381778596,55652000,26713,5698765,949794,6956,11130,0,1,18087,456,0);
INSERT INTO "bills" VALUES('run_ddee2a3bc44c40b4','job_train-digits','basin',1795381784214,19556000,9778,380256,380256,2716,2852,0,0,5568,30,0);
INSERT INTO "bills" VALUES('run_73ea896ffc2e45f1','job_flexible-batch','plateau',1795381824053,10756000,5163,550707,183569,1344,430,0,1,1775,44,0);
CREATE TABLE budgets (
	project VARCHAR(200) NOT NULL, 
	on_empty VARCHAR(20) NOT NULL, 
	set_ms BIGINT NOT NULL, 
	set_by VARCHAR(200) NOT NULL, 
	PRIMARY KEY (project)
);
CREATE TABLE checkpoint_moves (
	run_id VARCHAR(200) NOT NULL, 
	job_id VARCHAR(200) NOT NULL, 
	from_site VARCHAR(200) NOT NULL, 
	to_site VARCHAR(200) NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	moved_ms BIGINT NOT NULL, 
	PRIMARY KEY (run_id), 
	FOREIGN KEY(run_id) REFERENCES runs (run_id), 
	FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
CREATE TABLE checkpoints (
	run_id VARCHAR(200) NOT NULL, 
	job_id VARCHAR(200) NOT NULL, 
	site VARCHAR(200) NOT NULL, 
	token BIGINT NOT NULL, 
	saved_ms BIGINT NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	sent_bytes BIGINT NOT NULL, 
	at_server INTEGER NOT NULL, 
	files TEXT NOT NULL, 
	PRIMARY KEY (run_id), 
	FOREIGN KEY(run_id) REFERENCES runs (run_id), 
	FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
CREATE TABLE contracts (
	organisation VARCHAR(200) NOT NULL, 
	contract VARCHAR(200) NOT NULL, 
	terms TEXT NOT NULL, 
	set_ms BIGINT NOT NULL, 
	set_by VARCHAR(200) NOT NULL, 
	PRIMARY KEY (organisation, contract)
);
CREATE TABLE counters (
	name VARCHAR(100) NOT NULL, 
	value BIGINT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "counters" VALUES('fencing_token',3);
INSERT INTO "counters" VALUES('snapshot_version',16);
CREATE TABLE credentials (
	digest VARCHAR(64) NOT NULL, 
	site VARCHAR(200) NOT NULL, 
	created_ms BIGINT NOT NULL, 
	first_used_ms BIGINT, 
	ended_ms BIGINT, 
	ended_why VARCHAR(40), 
	PRIMARY KEY (digest)
);
CREATE TABLE data_moves (
	run_id VARCHAR(200) NOT NULL, 
	sequence INTEGER NOT NULL, 
	job_id VARCHAR(200) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	version INTEGER NOT NULL, 
	from_site VARCHAR(200) NOT NULL, 
	to_site VARCHAR(200) NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	wall_ms BIGINT NOT NULL, 
	received_ms BIGINT NOT NULL, 
	PRIMARY KEY (run_id, sequence), 
	FOREIGN KEY(run_id) REFERENCES runs (run_id), 
	FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
CREATE TABLE data_uses (
	run_id VARCHAR(200) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	version INTEGER NOT NULL, 
	job_id VARCHAR(200) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	from_site VARCHAR(200) NOT NULL, 
	url TEXT NOT NULL, 
	to_site VARCHAR(200) NOT NULL, 
	terms TEXT NOT NULL, 
	tags TEXT NOT NULL, 
	checked_ms BIGINT NOT NULL, 
	staged_ms BIGINT, 
	cached INTEGER NOT NULL, 
	PRIMARY KEY (run_id, name, version), 
	FOREIGN KEY(run_id) REFERENCES runs (run_id), 
	FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
CREATE TABLE datasets (
	name VARCHAR(200) NOT NULL, 
	version INTEGER NOT NULL, 
	owner VARCHAR(200) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	files TEXT NOT NULL, 
	licence TEXT NOT NULL, 
	residency TEXT NOT NULL, 
	price_micros_per_gb BIGINT, 
	created_ms BIGINT NOT NULL, 
	made_by_run VARCHAR(200), 
	provenance TEXT, 
	PRIMARY KEY (name, version), 
	CONSTRAINT one_version_per_run UNIQUE (made_by_run, name)
);
CREATE TABLE decisions (
	seq INTEGER NOT NULL, 
	job_id VARCHAR(200) NOT NULL, 
	at_ms BIGINT NOT NULL, 
	snapshot_version BIGINT NOT NULL, 
	policy TEXT NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	answer TEXT NOT NULL, 
	PRIMARY KEY (seq), 
	FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
INSERT INTO "decisions" VALUES(1,'job_train-digits',1795381764510,2,'{"rule":"westward","discipline":"conservative","wait_value_micros_per_device_hour":500000,"carbon_price_micros_per_tonne":80000000,"carbon_method":"location","defer_limit_ms":86400000,"deadline_reserve_percent":50,"assumed_duration_ms":3600000,"backfill_depth":64,"price_period_ms":0,"review_ms":0,"review_depth":32,"packing":"pool","fair_share":false,"preemption":false,"reconsider_ms":0,"checkpoint_gb_per_device":20.0,"move_hurdle_percent":5}','placement','{"job_id":"job_train-digits","estimate":{"pool":"basin-west","site":"basin","option":1,"need_milli":1000,"earliest_ms":1795381764510,"start_ms":1795381764510,"duration_ms":15000,"energy_kwh":0.0020833333333333333,"carbon_g":0.2916666666666667,"terms":{"device":2083.3333333333335,"power":2187.5000000000005,"carbon":23.333333333333336,"transfer":0.0,"wait":2.5,"shadow":0.0,"vouchers":0.0}},"not_before_ms":1795381764510,"starts_now":true,"why":"starts-now","saved_by_waiting":0.0,"duration_assumed":false,"alternatives":[{"pool":"basin-west","site":"basin","estimate":{"pool":"basin-west","site":"basin","option":1,"need_milli":1000,"earliest_ms":1795381764510,"start_ms":1795381764510,"duration_ms":15000,"energy_kwh":0.0020833333333333333,"carbon_g":0.2916666666666667,"terms":{"device":2083.3333333333335,"power":2187.5000000000005,"carbon":23.333333333333336,"transfer":0.0,"wait":2.5,"shadow":0.0,"vouchers":0.0}},"reasons":[]},{"pool":"plateau-west","site":"plateau","estimate":{"pool":"plateau-west","site":"plateau","option":1,"need_milli":1000,"earliest_ms":1795381764510,"start_ms":1795381764510,"duration_ms":15000,"energy_kwh":0.002,"carbon_g":1.536,"terms":{"device":1875.0,"power":3000.0000000000005,"carbon":122.88,"transfer":0.0,"wait":2.5,"shadow":0.0,"vouchers":0.0}},"reasons":[]},{"pool":"harbor-east","site":"harbor","estimate":{"pool":"harbor-east","site":"harbor","option":0,"need_milli":1000,"earliest_ms":1795381764510,"start_ms":1795381764510,"duration_ms":15000,"energy_kwh":0.0020833333333333333,"carbon_g":1.2796875,"terms":{"device":2291.6666666666665,"power":2812.5,"carbon":102.375,"transfer":0.0,"wait":2.5,"shadow":0.0,"vouchers":0.0}},"reasons":[]}]}');
INSERT INTO "decisions" VALUES(2,'job_flexible-batch',1795381764556,6,'{"rule":"westward","discipline":"conservative","wait_value_micros_per_device_hour":500000,"carbon_price_micros_per_tonne":80000000,"carbon_method":"location","defer_limit_ms":86400000,"deadline_reserve_percent":50,"assumed_duration_ms":3600000,"backfill_depth":64,"price_period_ms":0,"review_ms":0,"review_depth":32,"packing":"pool","fair_share":false,"preemption":false,"reconsider_ms":0,"checkpoint_gb_per_device":20.0,"move_hurdle_percent":5}','placement','{"job_id":"job_flexible-batch","estimate":{"pool":"plateau-west","site":"plateau","option":1,"need_milli":1000,"earliest_ms":1795381779556,"start_ms":1795381813251,"duration_ms":12000,"energy_kwh":0.0016,"carbon_g":0.6143999999999997,"terms":{"device":1500.0,"power":480.0000000000017,"carbon":49.15199999999998,"transfer":0.0,"wait":0.0,"shadow":0.0,"vouchers":0.0}},"not_before_ms":1795381813251,"starts_now":false,"why":"waits-for-better-hour","saved_by_waiting":1969.1519999999991,"duration_assumed":false,"alternatives":[{"pool":"plateau-west","site":"plateau","estimate":{"pool":"plateau-west","site":"plateau","option":1,"need_milli":1000,"earliest_ms":1795381779556,"start_ms":1795381813251,"duration_ms":12000,"energy_kwh":0.0016,"carbon_g":0.6143999999999997,"terms":{"device":1500.0,"power":480.0000000000017,"carbon":49.15199999999998,"transfer":0.0,"wait":0.0,"shadow":0.0,"vouchers":0.0}},"reasons":[]},{"pool":"basin-west","site":"basin","estimate":{"pool":"basin-west","site":"basin","option":1,"need_milli":1000,"earliest_ms":1795381764556,"start_ms":1795381813251,"duration_ms":12000,"energy_kwh":0.0016666666666666668,"carbon_g":0.2333333333333335,"terms":{"device":1666.6666666666667,"power":1000.0000000000009,"carbon":18.66666666666668,"transfer":0.0,"wait":0.0,"shadow":0.0,"vouchers":0.0}},"reasons":[]},{"pool":"harbor-east","site":"harbor","estimate":{"pool":"harbor-east","site":"harbor","option":0,"need_milli":1000,"earliest_ms":1795381764556,"start_ms":1795381813251,"duration_ms":12000,"energy_kwh":0.0016666666666666668,"carbon_g":0.8774999999999995,"terms":{"device":1833.3333333333335,"power":1500.0,"carbon":70.19999999999996,"transfer":0.0,"wait":0.0,"shadow":0.0,"vouchers":0.0}},"reasons":[]}]}');
INSERT INTO "decisions" VALUES(3,'job_word-array',1795381764556,6,'{"rule":"westward","discipline":"conservative","wait_value_micros_per_device_hour":500000,"carbon_price_micros_per_tonne":80000000,"carbon_method":"location","defer_limit_ms":86400000,"deadline_reserve_percent":50,"assumed_duration_ms":3600000,"backfill_depth":64,"price_period_ms":0,"review_ms":0,"review_depth":32,"packing":"pool","fair_share":false,"preemption":false,"reconsider_ms":0,"checkpoint_gb_per_device":20.0,"move_hurdle_percent":5}','placement','{"job_id":"job_word-array","estimate":{"pool":"plateau-west","site":"plateau","option":0,"need_milli":4000,"earliest_ms":1795381764556,"start_ms":1795381764556,"duration_ms":15000,"energy_kwh":0.008,"carbon_g":6.144,"terms":{"device":7500.0,"power":12000.0,"carbon":491.52,"transfer":0.0,"wait":26.11111111111111,"shadow":0.0,"vouchers":0.0}},"not_before_ms":1795381764556,"starts_now":true,"why":"starts-now","saved_by_waiting":0.0,"duration_assumed":false,"alternatives":[{"pool":"plateau-west","site":"plateau","estimate":{"pool":"plateau-west","site":"plateau","option":0,"need_milli":4000,"earliest_ms":1795381764556,"start_ms":1795381764556,"duration_ms":15000,"energy_kwh":0.008,"carbon_g":6.144,"terms":{"device":7500.0,"power":12000.0,"carbon":491.52,"transfer":0.0,"wait":26.11111111111111,"shadow":0.0,"vouchers":0.0}},"reasons":[]},{"pool":"basin-west","site":"basin","estimate":{"pool":"basin-west","site":"basin","option":0,"need_milli":4000,"earliest_ms":1795381779515,"start_ms":1795381779515,"duration_ms":15000,"energy_kwh":0.008333333333333333,"carbon_g":1.166666666666667,"terms":{"device":8333.333333333334,"power":8750.000000000002,"carbon":93.33333333333336,"transfer":0.0,"wait":8336.666666666666,"shadow":0.0,"vouchers":0.0}},"reasons":[]},{"pool":"harbor-east","site":"harbor","estimate":null,"reasons":[{"code":"residency","resource":"province","asked":"Plateau or Basin","available":"Harbor","unit":""},{"code":"wrong-accelerator","resource":"accelerator","asked":"west-card","available":"east-card","unit":""}]}]}');
CREATE TABLE disputes (
	dispute_id VARCHAR(200) NOT NULL, 
	run_id VARCHAR(200) NOT NULL, 
	job_id VARCHAR(200) NOT NULL, 
	site VARCHAR(200) NOT NULL, 
	part VARCHAR(20), 
	reason TEXT NOT NULL, 
	opened_by VARCHAR(200) NOT NULL, 
	opened_ms BIGINT NOT NULL, 
	answer TEXT NOT NULL, 
	answered_by VARCHAR(200) NOT NULL, 
	answered_ms BIGINT, 
	outcome VARCHAR(20), 
	correction_micros BIGINT NOT NULL, 
	note TEXT NOT NULL, 
	closed_by VARCHAR(200) NOT NULL, 
	closed_ms BIGINT, 
	PRIMARY KEY (dispute_id), 
	FOREIGN KEY(run_id) REFERENCES runs (run_id), 
	FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
CREATE TABLE invitations (
	digest VARCHAR(64) NOT NULL, 
	site VARCHAR(200) NOT NULL, 
	invitation TEXT NOT NULL, 
	created_ms BIGINT NOT NULL, 
	expires_ms BIGINT NOT NULL, 
	used_ms BIGINT, 
	used_by VARCHAR(64), 
	void_ms BIGINT, 
	PRIMARY KEY (digest)
);
CREATE TABLE jobs (
	seq INTEGER NOT NULL, 
	job_id VARCHAR(200) NOT NULL, 
	body_digest VARCHAR(128) NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	version BIGINT NOT NULL, 
	spec TEXT NOT NULL, 
	bound TEXT, 
	attempts_max INTEGER NOT NULL, 
	cancel_requested_ms BIGINT, 
	changed_ms BIGINT NOT NULL, 
	finished_ms BIGINT, 
	ending TEXT NOT NULL, name VARCHAR(200), array_id VARCHAR(200), array_index INTEGER, holds TEXT, pause TEXT, aim TEXT, account VARCHAR(200) DEFAULT 'local' NOT NULL, 
	PRIMARY KEY (seq), 
	UNIQUE (job_id)
);
INSERT INTO "jobs" VALUES(1,'job_train-digits','f6922fa40b2f61b461e6cd5e380ddeb0ff3b47eb5246b29d564f1559bf11dad7','succeeded',6,'{"job_id":"job_train-digits","name":"train-digits","submit_ms":1795381764492,"nodes":1,"options":[{"accelerator":"east-card","any_accelerator":false,"devices_milli":1000,"cpus_milli":1000,"memory_mib":1024,"site":null,"engine":null,"max_hourly_cost_micros":null},{"accelerator":"west-card","any_accelerator":false,"devices_milli":1000,"cpus_milli":1000,"memory_mib":1024,"site":null,"engine":null,"max_hourly_cost_micros":null}],"duration_ms":15000,"start_after_ms":null,"deadline_ms":null,"residency":[],"latency":[],"inputs":[],"datasets":[],"outputs":[],"home_site":null,"account":null,"purpose":null,"checkpoint":{"path":"digits-checkpoint.joblib","every_ms":1000,"signal":"TERM","grace_ms":null},"priority":0,"wait_value_micros_per_hour":null,"labels":[],"work":{"run":"\"${WESTWARD_PYTHON:-python3}\" train_digits.py --checkpoint \"${WESTWARD_CHECKPOINT:-digits-checkpoint.joblib}\"\n","setup":"","envs":[["OMP_NUM_THREADS","1"]],"workdir":"/srv/examples","file_mounts":[]},"after":[],"array":null,"retry":null}','{"pool":"basin-west","site":"basin","option":1,"need_milli":1000,"duration_ms":15000,"not_before_ms":1795381764510,"planned_start_ms":1795381764510}',3,NULL,1795381784201,1795381784201,'Succeeded at basin after 19.5s','train-digits',NULL,NULL,NULL,NULL,NULL,'local');
INSERT INTO "jobs" VALUES(2,'job_word-array','31b45aa0716772a6e634e793867cb411bc633a0e6c585a3756f956070f471a46','succeeded',6,'{"job_id":"job_word-array","name":"word-array","submit_ms":1795381764509,"nodes":4,"options":[{"accelerator":"west-card","any_accelerator":false,"devices_milli":1000,"cpus_milli":500,"memory_mib":512,"site":null,"engine":null,"max_hourly_cost_micros":null}],"duration_ms":15000,"start_after_ms":null,"deadline_ms":null,"residency":[{"key":"province","values":["Plateau","Basin"],"because":""}],"latency":[],"inputs":[],"datasets":[],"outputs":[],"home_site":null,"account":null,"purpose":null,"checkpoint":null,"priority":0,"wait_value_micros_per_hour":null,"labels":[],"work":{"run":"\"${WESTWARD_PYTHON:-python3}\" word_array.py\n","setup":"","envs":[],"workdir":"/srv/examples","file_mounts":[]},"after":[],"array":null,"retry":null}','{"pool":"plateau-west","site":"plateau","option":0,"need_milli":4000,"duration_ms":15000,"not_before_ms":1795381764556,"planned_start_ms":1795381764556}',3,NULL,1795381778575,1795381778575,'Succeeded at plateau after 13.8s','word-array',NULL,NULL,NULL,NULL,NULL,'local');
INSERT INTO "jobs" VALUES(3,'job_flexible-batch','eca06849c67a5dd6f633b940c8f33e490464f494a69f47a7920a5e7a8e64a3fb','succeeded',6,'{"job_id":"job_flexible-batch","name":"flexible-batch","submit_ms":1795381764522,"nodes":1,"options":[{"accelerator":"east-card","any_accelerator":false,"devices_milli":1000,"cpus_milli":1000,"memory_mib":1024,"site":null,"engine":null,"max_hourly_cost_micros":null},{"accelerator":"west-card","any_accelerator":false,"devices_milli":1000,"cpus_milli":1000,"memory_mib":1024,"site":null,"engine":null,"max_hourly_cost_micros":null}],"duration_ms":12000,"start_after_ms":null,"deadline_ms":1795381874522,"residency":[],"latency":[],"inputs":[],"datasets":[],"outputs":[],"home_site":null,"account":null,"purpose":null,"checkpoint":null,"priority":0,"wait_value_micros_per_hour":null,"labels":[],"work":{"run":"\"${WESTWARD_PYTHON:-python3}\" flexible_batch.py\n","setup":"","envs":[["OMP_NUM_THREADS","1"]],"workdir":"/srv/examples","file_mounts":[]},"after":[],"array":null,"retry":null}','{"pool":"plateau-west","site":"plateau","option":1,"need_milli":1000,"duration_ms":12000,"not_before_ms":1795381813251,"planned_start_ms":1795381813251}',3,NULL,1795381824037,1795381824037,'Succeeded at plateau after 10.7s','flexible-batch',NULL,NULL,NULL,NULL,NULL,'local');
INSERT INTO "jobs" VALUES(4,'job_late','f998270246d0053697161b5a6a783bc4e1b09dee0ae48e27f4f3e7bdd9ec502c','pending',1,'{"job_id":"job_late","name":"late","submit_ms":1795381829822,"nodes":1,"options":[{"accelerator":null,"any_accelerator":false,"devices_milli":0,"cpus_milli":1000,"memory_mib":0,"site":null,"engine":null,"max_hourly_cost_micros":null}],"duration_ms":2000,"start_after_ms":null,"deadline_ms":null,"residency":[],"latency":[],"inputs":[],"datasets":[],"outputs":[],"home_site":null,"account":null,"purpose":null,"checkpoint":null,"priority":0,"wait_value_micros_per_hour":null,"labels":[],"work":{"run":"echo late","setup":"","envs":[],"workdir":null,"file_mounts":[]},"after":[],"array":null,"retry":null}',NULL,3,NULL,1795381829822,NULL,'','late',NULL,NULL,NULL,NULL,NULL,'local');
CREATE TABLE ledger_accounts (
	account_id VARCHAR(200) NOT NULL, 
	kind VARCHAR(40) NOT NULL, 
	unit VARCHAR(20) NOT NULL, 
	overdraft INTEGER NOT NULL, 
	owner VARCHAR(200) NOT NULL, 
	label VARCHAR(200) NOT NULL, 
	opened_ms BIGINT NOT NULL, 
	debits_pending BIGINT NOT NULL, 
	debits_posted BIGINT NOT NULL, 
	credits_pending BIGINT NOT NULL, 
	credits_posted BIGINT NOT NULL, 
	version BIGINT NOT NULL, 
	PRIMARY KEY (account_id), 
	CONSTRAINT ledger_never_overspent CHECK (overdraft = 1 OR debits_pending + debits_posted <= credits_posted), 
	CONSTRAINT ledger_no_balance_below_zero CHECK (debits_pending >= 0 AND debits_posted >= 0 AND credits_pending >= 0 AND credits_posted >= 0)
);
INSERT INTO "ledger_accounts" VALUES('project:local:CNY','project','CNY',1,'local','',1795381764515,0,25430,0,0,7);
INSERT INTO "ledger_accounts" VALUES('clearing:basin:CNY','clearing','CNY',0,'basin','',1795381764515,0,5568,0,5568,3);
INSERT INTO "ledger_accounts" VALUES('site:basin:CNY','site','CNY',0,'basin','',1795381764515,0,0,0,2716,2);
INSERT INTO "ledger_accounts" VALUES('network-power:CNY','network-power','CNY',1,'','',1795381764515,0,0,0,14412,4);
INSERT INTO "ledger_accounts" VALUES('network-links:CNY','network-links','CNY',1,'','',1795381764515,0,0,0,0,1);
INSERT INTO "ledger_accounts" VALUES('data-owner:CNY','data-owner','CNY',1,'','',1795381764515,0,0,0,0,1);
INSERT INTO "ledger_accounts" VALUES('rounding:CNY','rounding','CNY',1,'','',1795381764515,0,0,0,2,3);
INSERT INTO "ledger_accounts" VALUES('external:CNY','external','CNY',1,'','',1795381764515,0,0,0,0,1);
INSERT INTO "ledger_accounts" VALUES('external:unfunded:CNY','external','CNY',1,'','',1795381764515,0,0,0,0,1);
INSERT INTO "ledger_accounts" VALUES('clearing:plateau:CNY','clearing','CNY',0,'plateau','',1795381764565,0,19860,0,19860,5);
INSERT INTO "ledger_accounts" VALUES('site:plateau:CNY','site','CNY',0,'plateau','',1795381764565,0,0,0,8300,3);
CREATE TABLE ledger_holds (
	transfer_id VARCHAR(200) NOT NULL, 
	remaining BIGINT NOT NULL, 
	expires_ms BIGINT, 
	state VARCHAR(10) NOT NULL, 
	PRIMARY KEY (transfer_id), 
	CONSTRAINT ledger_no_hold_below_zero CHECK (remaining >= 0), 
	FOREIGN KEY(transfer_id) REFERENCES ledger_transfers (transfer_id)
);
INSERT INTO "ledger_holds" VALUES('run_ddee2a3bc44c40b4:hold:0:0',0,NULL,'voided');
INSERT INTO "ledger_holds" VALUES('run_2be3dc09d8a84e0a:hold:0:0',0,NULL,'voided');
INSERT INTO "ledger_holds" VALUES('run_73ea896ffc2e45f1:hold:0:0',0,NULL,'voided');
CREATE TABLE ledger_transfers (
	seq INTEGER NOT NULL, 
	transfer_id VARCHAR(200) NOT NULL, 
	kind VARCHAR(10) NOT NULL, 
	debit VARCHAR(200) NOT NULL, 
	credit VARCHAR(200) NOT NULL, 
	amount BIGINT NOT NULL, 
	pending_id VARCHAR(200), 
	expires_ms BIGINT, 
	group_id VARCHAR(200), 
	group_position INTEGER NOT NULL, 
	group_size INTEGER NOT NULL, 
	category VARCHAR(40) NOT NULL, 
	job_id VARCHAR(200), 
	run_id VARCHAR(200), 
	corrects VARCHAR(200), 
	reason TEXT NOT NULL, 
	at_ms BIGINT NOT NULL, 
	PRIMARY KEY (seq), 
	CONSTRAINT ledger_amount_above_zero CHECK (amount > 0), 
	CONSTRAINT one_transfer_per_place_in_group UNIQUE (group_id, group_position), 
	UNIQUE (transfer_id), 
	FOREIGN KEY(debit) REFERENCES ledger_accounts (account_id), 
	FOREIGN KEY(credit) REFERENCES ledger_accounts (account_id), 
	FOREIGN KEY(pending_id) REFERENCES ledger_transfers (transfer_id), 
	FOREIGN KEY(corrects) REFERENCES ledger_transfers (transfer_id)
);
INSERT INTO "ledger_transfers" VALUES(1,'run_ddee2a3bc44c40b4:hold:0:0','pending','project:local:CNY','clearing:basin:CNY',77213,NULL,NULL,'run_ddee2a3bc44c40b4:hold:0',0,1,'hold','job_train-digits','run_ddee2a3bc44c40b4',NULL,'',1795381764515);
INSERT INTO "ledger_transfers" VALUES(2,'run_2be3dc09d8a84e0a:hold:0:0','pending','project:local:CNY','clearing:plateau:CNY',302759,NULL,NULL,'run_2be3dc09d8a84e0a:hold:0',0,1,'hold','job_word-array','run_2be3dc09d8a84e0a',NULL,'',1795381764565);
INSERT INTO "ledger_transfers" VALUES(3,'run_2be3dc09d8a84e0a:post:0:0','post','project:local:CNY','clearing:plateau:CNY',18086,'run_2be3dc09d8a84e0a:hold:0:0',NULL,'run_2be3dc09d8a84e0a:post:0',0,5,'hold','job_word-array','run_2be3dc09d8a84e0a',NULL,'',1795381778596);
INSERT INTO "ledger_transfers" VALUES(4,'run_2be3dc09d8a84e0a:post:0:1','posted','clearing:plateau:CNY','network-power:CNY',11130,NULL,NULL,'run_2be3dc09d8a84e0a:post:0',1,5,'earned','job_word-array','run_2be3dc09d8a84e0a',NULL,'',1795381778596);
INSERT INTO "ledger_transfers" VALUES(5,'run_2be3dc09d8a84e0a:post:0:2','posted','clearing:plateau:CNY','site:plateau:CNY',6956,NULL,NULL,'run_2be3dc09d8a84e0a:post:0',2,5,'earned','job_word-array','run_2be3dc09d8a84e0a',NULL,'',1795381778596);
INSERT INTO "ledger_transfers" VALUES(6,'run_2be3dc09d8a84e0a:post:0:3','posted','project:local:CNY','rounding:CNY',1,NULL,NULL,'run_2be3dc09d8a84e0a:post:0',3,5,'rounding','job_word-array','run_2be3dc09d8a84e0a',NULL,'',1795381778596);
INSERT INTO "ledger_transfers" VALUES(7,'run_2be3dc09d8a84e0a:post:0:4','void','project:local:CNY','clearing:plateau:CNY',284673,'run_2be3dc09d8a84e0a:hold:0:0',NULL,'run_2be3dc09d8a84e0a:post:0',4,5,'hold','job_word-array','run_2be3dc09d8a84e0a',NULL,'',1795381778596);
INSERT INTO "ledger_transfers" VALUES(8,'run_ddee2a3bc44c40b4:post:0:0','post','project:local:CNY','clearing:basin:CNY',5568,'run_ddee2a3bc44c40b4:hold:0:0',NULL,'run_ddee2a3bc44c40b4:post:0',0,4,'hold','job_train-digits','run_ddee2a3bc44c40b4',NULL,'',1795381784214);
INSERT INTO "ledger_transfers" VALUES(9,'run_ddee2a3bc44c40b4:post:0:1','posted','clearing:basin:CNY','network-power:CNY',2852,NULL,NULL,'run_ddee2a3bc44c40b4:post:0',1,4,'earned','job_train-digits','run_ddee2a3bc44c40b4',NULL,'',1795381784214);
INSERT INTO "ledger_transfers" VALUES(10,'run_ddee2a3bc44c40b4:post:0:2','posted','clearing:basin:CNY','site:basin:CNY',2716,NULL,NULL,'run_ddee2a3bc44c40b4:post:0',2,4,'earned','job_train-digits','run_ddee2a3bc44c40b4',NULL,'',1795381784214);
INSERT INTO "ledger_transfers" VALUES(11,'run_ddee2a3bc44c40b4:post:0:3','void','project:local:CNY','clearing:basin:CNY',71645,'run_ddee2a3bc44c40b4:hold:0:0',NULL,'run_ddee2a3bc44c40b4:post:0',3,4,'hold','job_train-digits','run_ddee2a3bc44c40b4',NULL,'',1795381784214);
INSERT INTO "ledger_transfers" VALUES(12,'run_73ea896ffc2e45f1:hold:0:0','pending','project:local:CNY','clearing:plateau:CNY',68700,NULL,NULL,'run_73ea896ffc2e45f1:hold:0',0,1,'hold','job_flexible-batch','run_73ea896ffc2e45f1',NULL,'',1795381813261);
INSERT INTO "ledger_transfers" VALUES(13,'run_73ea896ffc2e45f1:post:0:0','post','project:local:CNY','clearing:plateau:CNY',1774,'run_73ea896ffc2e45f1:hold:0:0',NULL,'run_73ea896ffc2e45f1:post:0',0,5,'hold','job_flexible-batch','run_73ea896ffc2e45f1',NULL,'',1795381824053);
INSERT INTO "ledger_transfers" VALUES(14,'run_73ea896ffc2e45f1:post:0:1','posted','clearing:plateau:CNY','network-power:CNY',430,NULL,NULL,'run_73ea896ffc2e45f1:post:0',1,5,'earned','job_flexible-batch','run_73ea896ffc2e45f1',NULL,'',1795381824053);
INSERT INTO "ledger_transfers" VALUES(15,'run_73ea896ffc2e45f1:post:0:2','posted','clearing:plateau:CNY','site:plateau:CNY',1344,NULL,NULL,'run_73ea896ffc2e45f1:post:0',2,5,'earned','job_flexible-batch','run_73ea896ffc2e45f1',NULL,'',1795381824053);
INSERT INTO "ledger_transfers" VALUES(16,'run_73ea896ffc2e45f1:post:0:3','posted','project:local:CNY','rounding:CNY',1,NULL,NULL,'run_73ea896ffc2e45f1:post:0',3,5,'rounding','job_flexible-batch','run_73ea896ffc2e45f1',NULL,'',1795381824053);
INSERT INTO "ledger_transfers" VALUES(17,'run_73ea896ffc2e45f1:post:0:4','void','project:local:CNY','clearing:plateau:CNY',66926,'run_73ea896ffc2e45f1:hold:0:0',NULL,'run_73ea896ffc2e45f1:post:0',4,5,'hold','job_flexible-batch','run_73ea896ffc2e45f1',NULL,'',1795381824053);
CREATE TABLE log_chunks (
	run_id VARCHAR(200) NOT NULL, 
	rank INTEGER NOT NULL, 
	start BIGINT NOT NULL, 
	size BIGINT NOT NULL, 
	data BLOB NOT NULL, 
	PRIMARY KEY (run_id, rank, start), 
	FOREIGN KEY(run_id) REFERENCES runs (run_id)
);
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,0,40,X'65706F63682020203120206C6F737320312E363733342020616363757261637920302E383838390A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,40,40,X'65706F63682020203220206C6F737320302E373431372020616363757261637920302E393131310A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,80,40,X'65706F63682020203320206C6F737320302E343437342020616363757261637920302E393235300A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,120,40,X'65706F63682020203420206C6F737320302E333133302020616363757261637920302E393338390A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,160,40,X'65706F63682020203520206C6F737320302E323335322020616363757261637920302E393535360A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,200,40,X'65706F63682020203620206C6F737320302E313834372020616363757261637920302E393538330A');
INSERT INTO "log_chunks" VALUES('run_2be3dc09d8a84e0a',0,0,38,X'72616E6B20303A20323030206F66203239342066696C65732C20393536313220776F7264730A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,240,40,X'65706F63682020203720206C6F737320302E313530352020616363757261637920302E393639340A');
INSERT INTO "log_chunks" VALUES('run_2be3dc09d8a84e0a',3,0,39,X'72616E6B20333A20323030206F66203239332066696C65732C2031313333333120776F7264730A');
INSERT INTO "log_chunks" VALUES('run_2be3dc09d8a84e0a',2,0,38,X'72616E6B20323A20323030206F66203239332066696C65732C20393130303920776F7264730A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,280,40,X'65706F63682020203820206C6F737320302E313235352020616363757261637920302E393830360A');
INSERT INTO "log_chunks" VALUES('run_2be3dc09d8a84e0a',1,0,38,X'72616E6B20313A20323030206F66203239332066696C65732C20393637323820776F7264730A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,320,40,X'65706F63682020203920206C6F737320302E313036332020616363757261637920302E393931370A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,360,40,X'65706F63682020313020206C6F737320302E303931302020616363757261637920302E393836310A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,400,40,X'65706F63682020313120206C6F737320302E303738352020616363757261637920302E393833330A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,440,40,X'65706F63682020313220206C6F737320302E303638332020616363757261637920302E393836310A');
INSERT INTO "log_chunks" VALUES('run_2be3dc09d8a84e0a',3,39,56,X'72616E6B2033206F6620343A2031393930303320776F7264732C203732393120646966666572656E742C20696E203239332066696C65730A');
INSERT INTO "log_chunks" VALUES('run_2be3dc09d8a84e0a',0,38,56,X'72616E6B2030206F6620343A2031363835363020776F7264732C203636353720646966666572656E742C20696E203239342066696C65730A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,480,40,X'65706F63682020313320206C6F737320302E303630362020616363757261637920302E393836310A');
INSERT INTO "log_chunks" VALUES('run_2be3dc09d8a84e0a',1,38,56,X'72616E6B2031206F6620343A2031363232343920776F7264732C203635373820646966666572656E742C20696E203239332066696C65730A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,520,40,X'65706F63682020313420206C6F737320302E303534372020616363757261637920302E393833330A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,560,40,X'65706F63682020313520206C6F737320302E303530302020616363757261637920302E393833330A');
INSERT INTO "log_chunks" VALUES('run_2be3dc09d8a84e0a',2,38,56,X'72616E6B2032206F6620343A2031343830353820776F7264732C203634333620646966666572656E742C20696E203239332066696C65730A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,600,40,X'65706F63682020313620206C6F737320302E303435382020616363757261637920302E393836310A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,640,40,X'65706F63682020313720206C6F737320302E303432322020616363757261637920302E393931370A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,680,80,X'65706F63682020313820206C6F737320302E303338342020616363757261637920302E393931370A65706F63682020313920206C6F737320302E303334332020616363757261637920302E393931370A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,760,80,X'65706F63682020323020206C6F737320302E303239362020616363757261637920302E393838390A65706F63682020323120206C6F737320302E303234372020616363757261637920302E393833330A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,840,40,X'65706F63682020323220206C6F737320302E303230362020616363757261637920302E393836310A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,880,80,X'65706F63682020323320206C6F737320302E303137322020616363757261637920302E393934340A65706F63682020323420206C6F737320302E303134392020616363757261637920302E393934340A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,960,80,X'65706F63682020323520206C6F737320302E303133332020616363757261637920302E393934340A65706F63682020323620206C6F737320302E303132302020616363757261637920302E393931370A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,1040,80,X'65706F63682020323720206C6F737320302E303130392020616363757261637920302E393931370A65706F63682020323820206C6F737320302E303039392020616363757261637920302E393931370A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,1120,40,X'65706F63682020323920206C6F737320302E303039312020616363757261637920302E393934340A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,1160,80,X'65706F63682020333020206C6F737320302E303038332020616363757261637920302E393931370A65706F63682020333120206C6F737320302E303037372020616363757261637920302E393931370A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,1240,40,X'65706F63682020333220206C6F737320302E303037312020616363757261637920302E393931370A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,1280,80,X'65706F63682020333320206C6F737320302E303036352020616363757261637920302E393931370A65706F63682020333420206C6F737320302E303036302020616363757261637920302E393931370A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,1360,40,X'65706F63682020333520206C6F737320302E303035352020616363757261637920302E393931370A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,1400,80,X'65706F63682020333620206C6F737320302E303035312020616363757261637920302E393931370A65706F63682020333720206C6F737320302E303034372020616363757261637920302E393931370A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,1480,40,X'65706F63682020333820206C6F737320302E303034342020616363757261637920302E393931370A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,1520,40,X'65706F63682020333920206C6F737320302E303034312020616363757261637920302E393838390A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,1560,80,X'65706F63682020343020206C6F737320302E303033392020616363757261637920302E393838390A65706F63682020343120206C6F737320302E303033372020616363757261637920302E393838390A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,1640,40,X'65706F63682020343220206C6F737320302E303033352020616363757261637920302E393838390A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,1680,80,X'65706F63682020343320206C6F737320302E303033332020616363757261637920302E393838390A65706F63682020343420206C6F737320302E303033312020616363757261637920302E393838390A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,1760,40,X'65706F63682020343520206C6F737320302E303033302020616363757261637920302E393838390A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,1800,80,X'65706F63682020343620206C6F737320302E303032382020616363757261637920302E393838390A65706F63682020343720206C6F737320302E303032372020616363757261637920302E393931370A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,1880,80,X'65706F63682020343820206C6F737320302E303032362020616363757261637920302E393931370A65706F63682020343920206C6F737320302E303032352020616363757261637920302E393931370A');
INSERT INTO "log_chunks" VALUES('run_ddee2a3bc44c40b4',0,1960,90,X'65706F63682020353020206C6F737320302E303032342020616363757261637920302E393931370A616363757261637920302E39393137206F6E2033363020756E7365656E20646967697473202874617267657420302E39290A');
INSERT INTO "log_chunks" VALUES('run_73ea896ffc2e45f1',0,0,60,X'20342073657474696E67732074726965642C206265737420616363757261637920302E393439302028433D302E312C2067616D6D613D302E3031290A');
INSERT INTO "log_chunks" VALUES('run_73ea896ffc2e45f1',0,60,60,X'20382073657474696E67732074726965642C206265737420616363757261637920302E393635322028433D302E332C2067616D6D613D302E3033290A');
INSERT INTO "log_chunks" VALUES('run_73ea896ffc2e45f1',0,120,60,X'31322073657474696E67732074726965642C206265737420616363757261637920302E393735342028433D312E302C2067616D6D613D302E3033290A');
INSERT INTO "log_chunks" VALUES('run_73ea896ffc2e45f1',0,180,60,X'31362073657474696E67732074726965642C206265737420616363757261637920302E393831302028433D332E302C2067616D6D613D302E3033290A');
INSERT INTO "log_chunks" VALUES('run_73ea896ffc2e45f1',0,240,60,X'32302073657474696E67732074726965642C206265737420616363757261637920302E393831302028433D332E302C2067616D6D613D302E3033290A');
INSERT INTO "log_chunks" VALUES('run_73ea896ffc2e45f1',0,300,60,X'32342073657474696E67732074726965642C206265737420616363757261637920302E393831302028433D332E302C2067616D6D613D302E3033290A');
CREATE TABLE members (
	seq INTEGER NOT NULL, 
	user VARCHAR(200) NOT NULL, 
	role VARCHAR(40) NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	place VARCHAR(200) NOT NULL, 
	added_ms BIGINT NOT NULL, 
	added_by VARCHAR(200) NOT NULL, 
	removed_ms BIGINT, 
	removed_by VARCHAR(200), 
	PRIMARY KEY (seq)
);
CREATE TABLE meta (
	"key" VARCHAR(100) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('series_origin_ms','1795381763251');
CREATE TABLE offers (
	seq INTEGER NOT NULL, 
	site VARCHAR(200) NOT NULL, 
	at_ms BIGINT NOT NULL, 
	invitation TEXT, 
	offer TEXT, 
	PRIMARY KEY (seq)
);
CREATE TABLE organisation_facts (
	organisation VARCHAR(200) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	value TEXT NOT NULL, 
	evidence TEXT NOT NULL, 
	until_ms BIGINT, 
	shown_ms BIGINT NOT NULL, 
	shown_by VARCHAR(200) NOT NULL, 
	PRIMARY KEY (organisation, name)
);
CREATE TABLE organisations (
	organisation VARCHAR(200) NOT NULL, 
	label TEXT NOT NULL, 
	created_ms BIGINT NOT NULL, 
	created_by VARCHAR(200) NOT NULL, 
	PRIMARY KEY (organisation)
);
INSERT INTO "organisations" VALUES('local','jobs that name no project',0,'westward');
CREATE TABLE payouts (
	payout_id VARCHAR(200) NOT NULL, 
	earner VARCHAR(250) NOT NULL, 
	micros BIGINT NOT NULL, 
	paid_ms BIGINT NOT NULL, 
	reference TEXT NOT NULL, 
	paid_by VARCHAR(200) NOT NULL, 
	PRIMARY KEY (payout_id)
);
CREATE TABLE projects (
	project VARCHAR(200) NOT NULL, 
	organisation VARCHAR(200) NOT NULL, 
	label TEXT NOT NULL, 
	created_ms BIGINT NOT NULL, 
	created_by VARCHAR(200) NOT NULL, 
	PRIMARY KEY (project), 
	FOREIGN KEY(organisation) REFERENCES organisations (organisation)
);
INSERT INTO "projects" VALUES('local','local','jobs that name no project',0,'westward');
CREATE TABLE readings (
	run_id VARCHAR(200) NOT NULL, 
	sequence INTEGER NOT NULL, 
	wall_ms BIGINT NOT NULL, 
	device_milli_ms BIGINT NOT NULL, 
	cpu_ms BIGINT NOT NULL, 
	max_rss_kib BIGINT NOT NULL, 
	received_ms BIGINT NOT NULL, 
	PRIMARY KEY (run_id, sequence), 
	FOREIGN KEY(run_id) REFERENCES runs (run_id)
);
INSERT INTO "readings" VALUES('run_ddee2a3bc44c40b4',0,5006,5006000,1340,144516,1795381769664);
INSERT INTO "readings" VALUES('run_2be3dc09d8a84e0a',0,5003,20012000,5140,556720,1795381769669);
INSERT INTO "readings" VALUES('run_ddee2a3bc44c40b4',1,5005,5005000,1240,144516,1795381774668);
INSERT INTO "readings" VALUES('run_2be3dc09d8a84e0a',1,5009,20036000,5260,556720,1795381774678);
INSERT INTO "readings" VALUES('run_2be3dc09d8a84e0a',2,3901,15604000,3259,556720,1795381778565);
INSERT INTO "readings" VALUES('run_ddee2a3bc44c40b4',2,5001,5001000,2160,144704,1795381779655);
INSERT INTO "readings" VALUES('run_ddee2a3bc44c40b4',3,4544,4544000,3676,144848,1795381784201);
INSERT INTO "readings" VALUES('run_73ea896ffc2e45f1',0,5000,5000000,4400,136460,1795381818285);
INSERT INTO "readings" VALUES('run_73ea896ffc2e45f1',1,5001,5001000,4220,136588,1795381823291);
INSERT INTO "readings" VALUES('run_73ea896ffc2e45f1',2,755,755000,585,136588,1795381824037);
CREATE TABLE replicas (
	name VARCHAR(200) NOT NULL, 
	version INTEGER NOT NULL, 
	site VARCHAR(200) NOT NULL, 
	url TEXT NOT NULL, 
	added_ms BIGINT NOT NULL, 
	suspect TEXT, 
	PRIMARY KEY (name, version, site), 
	FOREIGN KEY(name, version) REFERENCES datasets (name, version)
);
CREATE TABLE run_money (
	run_id VARCHAR(200) NOT NULL, 
	job_id VARCHAR(200) NOT NULL, 
	project VARCHAR(200) NOT NULL, 
	site VARCHAR(200) NOT NULL, 
	settled INTEGER NOT NULL, 
	holds INTEGER NOT NULL, 
	postings INTEGER NOT NULL, 
	reach_ms BIGINT NOT NULL, 
	counted TEXT NOT NULL, 
	posted TEXT, 
	PRIMARY KEY (run_id)
);
INSERT INTO "run_money" VALUES('run_ddee2a3bc44c40b4','job_train-digits','local','basin',1,1,1,1795381784214,'{"price": 5568, "parts": [{"payer": "local", "rule": "", "year": null, "micros": 5568, "payee": ""}], "rewards": [], "own_by_spend": {"compute": 2716, "electricity": 2852}, "usage": [], "funded": {}}','{"bill": {"device_milli_ms": 19556000, "energy_j": 9778, "carbon_location_ug": 380256, "carbon_contract_ug": 380256, "device_micros": 2716, "power_micros": 2852, "transfer_micros": 0, "rounding_micros": 0, "total_micros": 5568, "carbon_shown_micros": 30, "data_micros": 0}, "split": {"price": 5568, "parts": [{"payer": "local", "rule": "", "year": null, "micros": 5568, "payee": ""}], "rewards": [], "own_by_spend": {"compute": 2716, "electricity": 2852}, "usage": [], "funded": {}}}');
INSERT INTO "run_money" VALUES('run_2be3dc09d8a84e0a','job_word-array','local','plateau',1,1,1,1795381778596,'{"price": 18086, "parts": [{"payer": "local", "rule": "", "year": null, "micros": 18086, "payee": ""}], "rewards": [], "own_by_spend": {"compute": 6956, "electricity": 11130}, "usage": [], "funded": {}}','{"bill": {"device_milli_ms": 55652000, "energy_j": 26713, "carbon_location_ug": 5698765, "carbon_contract_ug": 949794, "device_micros": 6956, "power_micros": 11130, "transfer_micros": 0, "rounding_micros": 1, "total_micros": 18087, "carbon_shown_micros": 456, "data_micros": 0}, "split": {"price": 18086, "parts": [{"payer": "local", "rule": "", "year": null, "micros": 18086, "payee": ""}], "rewards": [], "own_by_spend": {"compute": 6956, "electricity": 11130}, "usage": [], "funded": {}}}');
INSERT INTO "run_money" VALUES('run_73ea896ffc2e45f1','job_flexible-batch','local','plateau',1,1,1,1795381824053,'{"price": 1774, "parts": [{"payer": "local", "rule": "", "year": null, "micros": 1774, "payee": ""}], "rewards": [], "own_by_spend": {"compute": 1344, "electricity": 430}, "usage": [], "funded": {}}','{"bill": {"device_milli_ms": 10756000, "energy_j": 5163, "carbon_location_ug": 550707, "carbon_contract_ug": 183569, "device_micros": 1344, "power_micros": 430, "transfer_micros": 0, "rounding_micros": 1, "total_micros": 1775, "carbon_shown_micros": 44, "data_micros": 0}, "split": {"price": 1774, "parts": [{"payer": "local", "rule": "", "year": null, "micros": 1774, "payee": ""}], "rewards": [], "own_by_spend": {"compute": 1344, "electricity": 430}, "usage": [], "funded": {}}}');
CREATE TABLE runs (
	run_id VARCHAR(200) NOT NULL, 
	job_id VARCHAR(200) NOT NULL, 
	attempt INTEGER NOT NULL, 
	pool VARCHAR(200) NOT NULL, 
	site VARCHAR(200) NOT NULL, 
	token BIGINT NOT NULL, 
	need_milli BIGINT NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	live INTEGER NOT NULL, 
	lease_expires_ms BIGINT NOT NULL, 
	granted_ms BIGINT NOT NULL, 
	offered_session BIGINT, 
	started_ms BIGINT, 
	ended_ms BIGINT, 
	outcome VARCHAR(40), 
	exit_code INTEGER, 
	detail TEXT NOT NULL, 
	settled_ms BIGINT, 
	PRIMARY KEY (run_id), 
	CONSTRAINT one_run_per_attempt UNIQUE (job_id, attempt), 
	FOREIGN KEY(job_id) REFERENCES jobs (job_id), 
	UNIQUE (token)
);
INSERT INTO "runs" VALUES('run_ddee2a3bc44c40b4','job_train-digits',1,'basin-west','basin',1,1000,'succeeded',0,1795381797599,1795381764515,1,1795381764718,1795381784201,'succeeded',0,'',1795381784214);
INSERT INTO "runs" VALUES('run_2be3dc09d8a84e0a','job_word-array',1,'plateau-west','plateau',2,4000,'succeeded',0,1795381791771,1795381764565,1,1795381764730,1795381778575,'succeeded',0,'',1795381778596);
INSERT INTO "runs" VALUES('run_73ea896ffc2e45f1','job_flexible-batch',1,'plateau-west','plateau',3,1000,'succeeded',0,1795381837290,1795381813261,1,1795381813310,1795381824037,'succeeded',0,'',1795381824053);
CREATE TABLE site_marks (
	site VARCHAR(200) NOT NULL, 
	pool VARCHAR(200) NOT NULL, 
	status VARCHAR(20) NOT NULL, 
	at_ms BIGINT NOT NULL, 
	PRIMARY KEY (site, pool)
);
CREATE TABLE sites (
	site VARCHAR(200) NOT NULL, 
	session BIGINT NOT NULL, 
	agent_id VARCHAR(200) NOT NULL, 
	pools TEXT NOT NULL, 
	hello_ms BIGINT NOT NULL, 
	last_seen_ms BIGINT NOT NULL, 
	PRIMARY KEY (site)
);
INSERT INTO "sites" VALUES('harbor',1,'agt_0b3df28294e44679ab6917f291ace399','[]',1795381764365,1795381824479);
INSERT INTO "sites" VALUES('basin',1,'agt_8b2129fcf97945dbbf49374637544b79','[]',1795381764412,1795381821624);
INSERT INTO "sites" VALUES('plateau',1,'agt_baa9c6bbe33a491ba3147e02ab09ee9b','[]',1795381764449,1795381822290);
CREATE TABLE story (
	seq INTEGER NOT NULL, 
	job_id VARCHAR(200) NOT NULL, 
	at_ms BIGINT NOT NULL, 
	kind VARCHAR(40) NOT NULL, 
	text TEXT NOT NULL, 
	data TEXT NOT NULL, 
	PRIMARY KEY (seq), 
	FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
INSERT INTO "story" VALUES(1,'job_train-digits',1795381764492,'submitted','train-digits was submitted','{}');
INSERT INTO "story" VALUES(2,'job_word-array',1795381764509,'submitted','word-array was submitted','{}');
INSERT INTO "story" VALUES(3,'job_train-digits',1795381764515,'bound','Placed in pool basin-west at basin: 0.004297 CNY in all, 0.000704 CNY below plateau','{"not_before_ms": 1795381764510, "planned_start_ms": 1795381764510, "pool": "basin-west", "site": "basin"}');
INSERT INTO "story" VALUES(4,'job_train-digits',1795381764515,'leased','basin was given leave to start it','{"attempt": 1, "run_id": "run_ddee2a3bc44c40b4", "site": "basin", "token": 1}');
INSERT INTO "story" VALUES(5,'job_flexible-batch',1795381764522,'submitted','flexible-batch was submitted','{}');
INSERT INTO "story" VALUES(6,'job_flexible-batch',1795381764565,'bound','Placed in pool plateau-west at plateau: 0.002029 CNY in all, 0.000656 CNY below basin; waits 33.7s for a cheaper hour, which saves 0.001969 CNY','{"not_before_ms": 1795381813251, "planned_start_ms": 1795381813251, "pool": "plateau-west", "site": "plateau"}');
INSERT INTO "story" VALUES(7,'job_word-array',1795381764565,'bound','Placed in pool plateau-west at plateau: 0.0200 CNY in all, 0.005496 CNY below basin','{"not_before_ms": 1795381764556, "planned_start_ms": 1795381764556, "pool": "plateau-west", "site": "plateau"}');
INSERT INTO "story" VALUES(8,'job_word-array',1795381764565,'leased','plateau was given leave to start it','{"attempt": 1, "run_id": "run_2be3dc09d8a84e0a", "site": "plateau", "token": 2}');
INSERT INTO "story" VALUES(9,'job_train-digits',1795381764719,'started','Started at basin','{"run_id": "run_ddee2a3bc44c40b4", "site": "basin"}');
INSERT INTO "story" VALUES(10,'job_word-array',1795381764731,'started','Started at plateau','{"run_id": "run_2be3dc09d8a84e0a", "site": "plateau"}');
INSERT INTO "story" VALUES(11,'job_word-array',1795381778575,'succeeded','Succeeded at plateau after 13.8s','{"exit_code": 0, "outcome": "succeeded", "run_id": "run_2be3dc09d8a84e0a", "site": "plateau"}');
INSERT INTO "story" VALUES(12,'job_train-digits',1795381784201,'succeeded','Succeeded at basin after 19.5s','{"exit_code": 0, "outcome": "succeeded", "run_id": "run_ddee2a3bc44c40b4", "site": "basin"}');
INSERT INTO "story" VALUES(13,'job_flexible-batch',1795381813261,'leased','plateau was given leave to start it','{"attempt": 1, "run_id": "run_73ea896ffc2e45f1", "site": "plateau", "token": 3}');
INSERT INTO "story" VALUES(14,'job_flexible-batch',1795381813310,'started','Started at plateau','{"run_id": "run_73ea896ffc2e45f1", "site": "plateau"}');
INSERT INTO "story" VALUES(15,'job_flexible-batch',1795381824037,'succeeded','Succeeded at plateau after 10.7s','{"exit_code": 0, "outcome": "succeeded", "run_id": "run_73ea896ffc2e45f1", "site": "plateau"}');
INSERT INTO "story" VALUES(16,'job_late',1795381829822,'submitted','late was submitted','{}');
CREATE TABLE tokens (
	token_id VARCHAR(40) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	user VARCHAR(200) NOT NULL, 
	scopes TEXT NOT NULL, 
	label TEXT NOT NULL, 
	created_ms BIGINT NOT NULL, 
	expires_ms BIGINT NOT NULL, 
	made_by VARCHAR(200) NOT NULL, 
	revoked_ms BIGINT, 
	revoked_by VARCHAR(200), 
	used_ms BIGINT, 
	PRIMARY KEY (token_id), 
	UNIQUE (digest)
);
CREATE TABLE voucher_usage (
	counter VARCHAR(40) NOT NULL, 
	rule VARCHAR(200) NOT NULL, 
	who VARCHAR(200) NOT NULL, 
	year INTEGER NOT NULL, 
	value BIGINT NOT NULL, 
	PRIMARY KEY (counter, rule, who, year)
);
CREATE INDEX jobs_by_state ON jobs (state, seq);
CREATE UNIQUE INDEX one_live_run_per_job ON runs (job_id) WHERE live = 1;
CREATE INDEX runs_by_lease_end ON runs (live, lease_expires_ms);
CREATE INDEX runs_by_site ON runs (site, live);
CREATE INDEX runs_by_pool ON runs (pool, live);
CREATE INDEX runs_to_settle ON runs (settled_ms, live);
CREATE INDEX bills_by_job ON bills (job_id);
CREATE INDEX story_by_job ON story (job_id, seq);
CREATE INDEX decisions_by_job ON decisions (job_id, seq);
CREATE INDEX jobs_by_name ON jobs (name, seq);
CREATE INDEX jobs_by_array ON jobs (array_id, array_index);
CREATE INDEX checkpoints_by_job ON checkpoints (job_id, token);
CREATE INDEX checkpoint_moves_by_job ON checkpoint_moves (job_id);
CREATE INDEX invitations_by_site ON invitations (site);
CREATE INDEX credentials_by_site ON credentials (site);
CREATE INDEX offers_by_site ON offers (site, seq);
CREATE INDEX data_uses_by_job ON data_uses (job_id);
CREATE INDEX data_moves_by_job ON data_moves (job_id);
CREATE UNIQUE INDEX one_live_grant ON members (user, role, kind, place) WHERE removed_ms IS NULL;
CREATE INDEX tokens_by_user ON tokens (user);
CREATE INDEX jobs_by_account ON jobs (account, seq);
CREATE INDEX ledger_accounts_by_kind ON ledger_accounts (kind, account_id);
CREATE INDEX ledger_transfers_by_debit ON ledger_transfers (debit, seq);
CREATE INDEX ledger_transfers_by_credit ON ledger_transfers (credit, seq);
CREATE INDEX ledger_transfers_by_pending ON ledger_transfers (pending_id) WHERE pending_id IS NOT NULL;
CREATE INDEX ledger_transfers_by_job ON ledger_transfers (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX ledger_holds_open ON ledger_holds (expires_ms) WHERE state = 'open';
CREATE TRIGGER ledger_transfers_no_update BEFORE UPDATE ON ledger_transfers BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never edited; write a correction'); END;
CREATE TRIGGER ledger_transfers_no_delete BEFORE DELETE ON ledger_transfers BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never edited; write a correction'); END;
CREATE INDEX run_money_open ON run_money (settled, reach_ms);
CREATE INDEX disputes_by_run ON disputes (run_id);
CREATE INDEX payouts_by_earner ON payouts (earner, paid_ms);
CREATE INDEX bills_by_time ON bills (billed_ms, run_id);
COMMIT;
