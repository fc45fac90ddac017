using System;

namespace FloatLease
{
    /// <summary>The place of a version's file.</summary>
    public sealed class InstallationFileReply : Reply
    {
        internal InstallationFileReply(string json) : base(json)
        {
        }

        internal InstallationFileReply(JsonValue members) : base(members)
        {
        }

        /// <summary>The server's number of the version.</summary>
        public long? Id => Members["id"].Int64;

        /// <summary>The name of the version, for example "1.0.0".</summary>
        public string Version => Members["version"].Text;

        /// <summary>The address of the file.</summary>
        public string InstallationFile => Members["installation_file"].Text;

        /// <summary>The date of the release; null if the server knows none.</summary>
        public DateTimeOffset? ReleaseDate => Members["release_date"].Date;

        /// <summary>The MD5 hash of the file in hexadecimal digits; empty if the server knows none.</summary>
        public string HashMd5 => Members["hash_md5"].Text;

        /// <summary>The size of the file in bytes; null if the server knows none.</summary>
        public long? SizeBytes => WholeNumber(Members["size"]);

        /// <summary>The version that must be installed before; null if there is none.</summary>
        public string RequiresVersion => Members["requires_version"].Text;

        /// <summary>The environment that the file is for, for example "win64"; empty if it is for any.</summary>
        public string Environment => Members["environment"].Text;

        /// <summary>The address of the license agreement; empty if there is none.</summary>
        public string EulaLink => Members["eula_link"].Text;

        /// <summary>The address of the release notes; empty if there are none.</summary>
        public string ReleaseNotesLink => Members["release_notes_link"].Text;

        /// <summary>The release channel, for example "beta"; empty if the version is in none.</summary>
        public string Channel => Members["channel"].Text;
    }
}
