namespace FloatLease
{
    /// <summary>A request that may describe the device. The server shows the description to the vendor.</summary>
    public class DeviceRequest : Request
    {
        /// <summary>The version of the device's operating system.</summary>
        public string OsVersion
        {
            get => Text("os_ver");
            set => Set("os_ver", value);
        }

        /// <summary>The name of the device in the network.</summary>
        public string Hostname
        {
            get => Text("hostname");
            set => Set("hostname", value);
        }

        /// <summary>The name that the operating system has for the device.</summary>
        public string OsHostname
        {
            get => Text("os_hostname");
            set => Set("os_hostname", value);
        }

        /// <summary>The public IP address of the device.</summary>
        public string Ip
        {
            get => Text("ip");
            set => Set("ip", value);
        }

        /// <summary>The IP address of the device in its local network.</summary>
        public string LocalIp
        {
            get => Text("ip_local");
            set => Set("ip_local", value);
        }

        /// <summary>The MAC address of the device's network card.</summary>
        public string MacAddress
        {
            get => Text("mac_address");
            set => Set("mac_address", value);
        }

        /// <summary>The version of your program.</summary>
        public string AppVersion
        {
            get => Text("app_ver");
            set => Set("app_ver", value);
        }

        /// <summary>True if the device is a virtual machine.</summary>
        public bool? IsVirtualMachine
        {
            get => Boolean("is_vm");
            set => Set("is_vm", value);
        }

        /// <summary>The name of the hypervisor, if the device is a virtual machine.</summary>
        public string VirtualMachineInfo
        {
            get => Text("vm_info");
            set => Set("vm_info", value);
        }
    }
}
