namespace FloatLease
{
    /// <summary>A request in which the device tells of itself.</summary>
    public class DeviceRequest : Request
    {
        /// <summary>What the device tells of itself: its system,</summary>
        public string OsVersion
        {
            get => Text("os_ver");
            set => Set("os_ver", value);
        }

        /// <summary>its name,</summary>
        public string Hostname
        {
            get => Text("hostname");
            set => Set("hostname", value);
        }

        /// <summary>its name to the system,</summary>
        public string OsHostname
        {
            get => Text("os_hostname");
            set => Set("os_hostname", value);
        }

        /// <summary>its address,</summary>
        public string Ip
        {
            get => Text("ip");
            set => Set("ip", value);
        }

        /// <summary>its address at home,</summary>
        public string LocalIp
        {
            get => Text("ip_local");
            set => Set("ip_local", value);
        }

        /// <summary>its network card,</summary>
        public string MacAddress
        {
            get => Text("mac_address");
            set => Set("mac_address", value);
        }

        /// <summary>your program's version,</summary>
        public string AppVersion
        {
            get => Text("app_ver");
            set => Set("app_ver", value);
        }

        /// <summary>whether it is a virtual machine,</summary>
        public bool? IsVirtualMachine
        {
            get => Boolean("is_vm");
            set => Set("is_vm", value);
        }

        /// <summary>and which.</summary>
        public string VirtualMachineInfo
        {
            get => Text("vm_info");
            set => Set("vm_info", value);
        }
    }
}
