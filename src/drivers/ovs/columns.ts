import type { Selection } from './ovsdb/replica.js';

/**
 * What we read of a switch's configuration (ovs-vswitchd.conf.db(5)). Statistics are left out on purpose: the switch writes them every few
 * seconds, and each time every listener would wake.
 */
export const SWITCH_DATABASE = 'Open_vSwitch';
export const SWITCH_COLUMNS: Selection = {
  Open_vSwitch: ['bridges', 'cur_cfg', 'next_cfg', 'ovs_version', 'db_version', 'datapath_types', 'iface_types', 'external_ids', 'other_config'],
  Bridge: ['name', 'ports', 'datapath_id', 'datapath_type', 'datapath_version', 'fail_mode', 'protocols', 'controller', 'external_ids', 'other_config'],
  Port: ['name', 'interfaces', 'tag', 'external_ids', 'other_config'],
  Interface: ['name', 'type', 'ofport', 'ifindex', 'mac_in_use', 'error', 'link_state', 'mtu', 'options', 'external_ids'],
};
